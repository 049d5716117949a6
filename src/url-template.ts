const PLACEHOLDER = '{merchantId}';
// Stands for the merchant ID while the URL parser reads a template: it is valid wherever an ID may be put.
const MARK = 'orderlane0merchant0id';
const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const MAX_ID = 255;

/**
 * A merchant's URL, with or without `{merchantId}` in its host's labels, its path or its query. In path and query an ID
 * is percent-encoded and cannot climb; in the host it must be made of what a DNS label is made of.
 */
export class UrlTemplate {
  /** The URL with a stand-in for the merchant ID. */
  readonly sample: URL;
  /** Whether the host depends on the merchant. */
  readonly variesHost: boolean;
  readonly #parts: readonly string[];
  readonly #hostLabels: readonly string[];

  /** Reads a template, or says what is wrong with it without repeating a credential. */
  static parse(text: string): UrlTemplate | string {
    if (/[{}]/.test(text.replaceAll(PLACEHOLDER, '')))
      return `expected no braces but ${PLACEHOLDER}, received ${quote(text)}`;
    const marked = text.replaceAll(PLACEHOLDER, MARK);
    if (!/^https?:\/\//i.test(marked) || !URL.canParse(marked)) {
      return `expected an https:// or http:// URL, received ${quote(text)}`;
    }
    const url = new URL(marked);
    if (url.username !== '' || url.password !== '') return 'expected a URL without credentials: use "auth"';
    if (url.hash !== '' || text.includes('#')) return `expected a URL without a fragment, received ${quote(text)}`;
    return new UrlTemplate(url);
  }

  private constructor(url: URL) {
    this.sample = url;
    this.variesHost = url.hostname.includes(MARK);
    this.#parts = url.href.split(MARK);
    this.#hostLabels = url.hostname.split('.').filter((label) => label.includes(MARK));
  }

  /** Whether there is anything to fill in. */
  get varies(): boolean {
    return this.#parts.length > 1;
  }

  /** The URL for a merchant; undefined when its ID cannot be put where the template wants it. */
  fill(merchantId: string): string | undefined {
    if (!this.varies) return this.sample.href;
    if (merchantId.length > MAX_ID || /^\.{0,2}$/.test(merchantId) || !merchantId.isWellFormed()) return undefined;
    if (this.variesHost) {
      const id = merchantId.toLowerCase();
      if (!this.#hostLabels.every((label) => LABEL.test(label.replaceAll(MARK, id)))) return undefined;
    }
    return this.#parts.join(encodeURIComponent(merchantId));
  }
}

function quote(text: string): string {
  const safe = text.replace(/\/\/[^/?#]*@/, '//…@');
  return JSON.stringify(safe.length <= 80 ? safe : `${safe.slice(0, 79)}…`);
}
