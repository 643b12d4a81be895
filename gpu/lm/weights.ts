/** A model's tensors by their names in Hugging Face's layout, read in slices so that no tensor is held whole. */
export interface WeightSource {
  readonly names: ReadonlySet<string>;
  /** Throws where there is no such tensor. */
  shape(name: string): readonly number[];
  /** Rows [first, first + count) of the first dimension, as f32 [count, …rest]; a vector's elements are its rows. */
  rows(name: string, first: number, count: number): Promise<Float32Array<ArrayBuffer>>;
}
