import type { Label } from "./labels.ts";

/** Characters first … end − 1 of a document, of which the label is true. */
export interface Span {
  label: Label;
  first: number;
  end: number;
}

/** A document as it is written, with what is known of each of its characters. */
export class Draft {
  text = "";
  readonly spans: Span[] = [];

  write(text: string, ...labels: readonly Label[]): this {
    const first = this.text.length;
    this.text += text;
    for (const label of labels) this.spans.push({ label, first, end: this.text.length });
    return this;
  }

  /** Everything that `body` writes has the label. */
  within(label: Label, body: () => void): this {
    const first = this.text.length;
    body();
    this.spans.push({ label, first, end: this.text.length });
    return this;
  }
}
