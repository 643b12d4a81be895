/**
 * Every shader of the library, by file. `new URL(literal, import.meta.url)` is the one form that Node, vite and
 * Turbopack all understand: in Node it is a file: URL, the bundlers copy the file and put its address there.
 * How text is read from a URL is the opener's business (node.ts reads files, browser.ts fetches).
 * A new shader needs its line here; a test compares the list with the folder.
 *
 * Names are WGSL identifiers, for other shaders import them: `import package::reduce::sum;`.
 */
const shaderUrls = {
  activate: new URL("../../shaders/activate.wgsl", import.meta.url),
  adam: new URL("../../shaders/adam.wgsl", import.meta.url),
  batch_select: new URL("../../shaders/batch_select.wgsl", import.meta.url),
  column_sum: new URL("../../shaders/column_sum.wgsl", import.meta.url),
  control: new URL("../../shaders/control.wgsl", import.meta.url),
  copy_rows: new URL("../../shaders/copy_rows.wgsl", import.meta.url),
  decode: new URL("../../shaders/decode.wgsl", import.meta.url),
  dots: new URL("../../shaders/dots.wgsl", import.meta.url),
  encode: new URL("../../shaders/encode.wgsl", import.meta.url),
  encode_quads: new URL("../../shaders/encode_quads.wgsl", import.meta.url),
  feature_gradient: new URL("../../shaders/feature_gradient.wgsl", import.meta.url),
  find_dead: new URL("../../shaders/find_dead.wgsl", import.meta.url),
  firings: new URL("../../shaders/firings.wgsl", import.meta.url),
  gradient_norm: new URL("../../shaders/gradient_norm.wgsl", import.meta.url),
  grid: new URL("../../shaders/grid.wgsl", import.meta.url),
  half: new URL("../../shaders/half.wgsl", import.meta.url),
  halve: new URL("../../shaders/halve.wgsl", import.meta.url),
  int8: new URL("../../shaders/int8.wgsl", import.meta.url),
  list_active: new URL("../../shaders/list_active.wgsl", import.meta.url),
  lm_activate: new URL("../../shaders/lm_activate.wgsl", import.meta.url),
  lm_add: new URL("../../shaders/lm_add.wgsl", import.meta.url),
  lm_attention: new URL("../../shaders/lm_attention.wgsl", import.meta.url),
  lm_divergence: new URL("../../shaders/lm_divergence.wgsl", import.meta.url),
  lm_embed: new URL("../../shaders/lm_embed.wgsl", import.meta.url),
  lm_loss: new URL("../../shaders/lm_loss.wgsl", import.meta.url),
  lm_math: new URL("../../shaders/lm_math.wgsl", import.meta.url),
  lm_norm: new URL("../../shaders/lm_norm.wgsl", import.meta.url),
  lm_rotary: new URL("../../shaders/lm_rotary.wgsl", import.meta.url),
  lm_row: new URL("../../shaders/lm_row.wgsl", import.meta.url),
  lm_softcap: new URL("../../shaders/lm_softcap.wgsl", import.meta.url),
  lp_norms: new URL("../../shaders/lp_norms.wgsl", import.meta.url),
  moments: new URL("../../shaders/moments.wgsl", import.meta.url),
  orthogonalize: new URL("../../shaders/orthogonalize.wgsl", import.meta.url),
  prepare: new URL("../../shaders/prepare.wgsl", import.meta.url),
  probe_copy: new URL("../../shaders/probe_copy.wgsl", import.meta.url),
  probe_fma: new URL("../../shaders/probe_fma.wgsl", import.meta.url),
  reduce: new URL("../../shaders/reduce.wgsl", import.meta.url),
  replace_rows: new URL("../../shaders/replace_rows.wgsl", import.meta.url),
  row_norms: new URL("../../shaders/row_norms.wgsl", import.meta.url),
  select: new URL("../../shaders/select.wgsl", import.meta.url),
  skip_gradient: new URL("../../shaders/skip_gradient.wgsl", import.meta.url),
  statistics: new URL("../../shaders/statistics.wgsl", import.meta.url),
  steer: new URL("../../shaders/steer.wgsl", import.meta.url),
  step: new URL("../../shaders/step.wgsl", import.meta.url),
  synthetic: new URL("../../shaders/synthetic.wgsl", import.meta.url),
  token_loss: new URL("../../shaders/token_loss.wgsl", import.meta.url),
  token_norms: new URL("../../shaders/token_norms.wgsl", import.meta.url),
} as const;

export type ShaderName = keyof typeof shaderUrls;

export const shaderNames = Object.keys(shaderUrls) as ShaderName[];

/** Reads the text behind a shader's URL. */
export type ReadShader = (url: URL) => Promise<string>;

/** The text of every shader under the module path the linker resolves imports by. */
export async function readShaders(read: ReadShader): Promise<Record<string, string>> {
  const entries = Object.entries(shaderUrls).map(
    async ([name, url]) => [`package::${name}`, await read(url)] as const,
  );
  return Object.fromEntries(await Promise.all(entries));
}
