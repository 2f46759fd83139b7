import { useRef, useState } from 'react';

/** A script with a button that copies it. */
export function PineText({ text }: { text: string }) {
  const [copied, setCopied] = useState<boolean>();
  const element = useRef<HTMLPreElement>(null);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setCopied(true);
    } catch {
      // The browser may forbid it; then the reader copies what is selected.
      window.getSelection()?.selectAllChildren(element.current!);
      setCopied(false);
    }
  };
  return (
    <div className="pine">
      <button type="button" className="secondary" onClick={copy}>
        Copy
      </button>
      <span className="muted" role="status">
        {copied === true && 'Copied.'}
        {copied === false && 'The browser forbids it; press Ctrl+C.'}
      </span>
      <pre ref={element} tabIndex={0} role="region" aria-label="Pine script">
        {text}
      </pre>
    </div>
  );
}
