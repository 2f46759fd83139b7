import type { AnchorHTMLAttributes, MouseEvent } from 'react';
import { go } from './address';

/** A link to a view, which is shown without loading the page again. */
export function Link({ href, ...others }: AnchorHTMLAttributes<HTMLAnchorElement> & { href: string }) {
  const follow = (event: MouseEvent) => {
    // Leaves new tabs, windows and downloads to the browser.
    if (event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    go(href);
  };
  return <a {...others} href={href} onClick={follow} />;
}
