import { useEffect, useRef, useState, type ReactNode } from 'react';

/** Rows above and below those in view that are kept, so that fast scrolling shows no empty space. */
const SPARE = 10;

/** The rows of a table of any length, of which only those in view are in the document. */
export function VirtualRows(props: { count: number; height: number; label: string; row: (index: number) => ReactNode; head: ReactNode }) {
  const { count, height, label, row, head } = props;
  const element = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ top: 0, height: 0 });
  useEffect(() => {
    const { current } = element;
    const follow = () => setView({ top: current!.scrollTop, height: current!.clientHeight });
    follow();
    current!.addEventListener('scroll', follow, { passive: true });
    const resize = new ResizeObserver(follow);
    resize.observe(current!);
    return () => {
      current!.removeEventListener('scroll', follow);
      resize.disconnect();
    };
  }, []);
  const first = Math.max(0, Math.floor(view.top / height) - SPARE);
  const last = Math.min(count, Math.ceil((view.top + view.height) / height) + SPARE);
  const rows = Array.from({ length: Math.max(0, last - first) }, (_, i) => first + i);
  return (
    <div ref={element} className="rows" role="table" aria-label={label} aria-rowcount={count + 1} tabIndex={0}>
      <div role="rowgroup" className="rows-head">
        {head}
      </div>
      <div role="rowgroup" className="rows-body" style={{ height: count * height }}>
        {rows.map((index) => (
          <div
            key={index}
            role="row"
            aria-rowindex={index + 2}
            className="row"
            style={{ height, transform: `translateY(${index * height}px)` }}
          >
            {row(index)}
          </div>
        ))}
      </div>
    </div>
  );
}
