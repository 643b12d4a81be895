import type { ReactNode } from "react";
import type { ModelDetail } from "../../server/models/views.ts";
import { CopyText } from "../_ui/copy-text.tsx";
import { formatBytes, formatCount, formatDateTime } from "../_ui/format.ts";
import { InfoTip } from "../_ui/info-tip.tsx";
import { Fact, Panel } from "../_ui/panel.tsx";
import { modelExplanations, sourceWords } from "./model-words.ts";
import { MemoryBars } from "./preview.tsx";

const activationWords = { gelu: "GELU", gelu_tanh: "GELU (tanh)", silu: "SiLU", relu: "ReLU" } as const;

function Mono({ children }: { children: ReactNode }) {
  return <span className="num">{children}</span>;
}

/** What the model is built of, what it takes, where it comes from and where it lies. */
export function ModelFactPanels({ model, home }: { model: ModelDetail; home: string | null }) {
  const { spec, memory, source } = model;
  const folder = home ? `${home.replace(/\/$/, "")}/${model.path}` : model.path;
  return (
    <>
      {spec ? (
        <Panel title="Architecture">
          <dl>
            <Fact name="Type">{spec.model_type}</Fact>
            <Fact name="Heads">
              <Mono>
                {spec.n_heads} × {spec.d_head}
              </Mono>
              {spec.n_kv_heads === spec.n_heads ? null : (
                <span className="text-xs text-ink-3"> of {spec.n_kv_heads} keys and values</span>
              )}
            </Fact>
            <Fact name="MLP">
              <Mono>{formatCount(spec.d_mlp)}</Mono>, {activationWords[spec.mlp.activation]}
              {spec.mlp.gated ? ", gated" : ""}
            </Fact>
            <Fact name="Norm">{spec.norm.kind === "layer" ? "LayerNorm" : "RMSNorm"}</Fact>
            <Fact name="Positions">{spec.learned_positions ? "Learned" : "Rotary"}</Fact>
            <Fact name="Blocks">
              {spec.parallel ? "Attention and MLP side by side" : "Attention, then MLP"}
            </Fact>
            <Fact
              name={
                <span className="flex items-center gap-1.5">
                  Tokenizer
                  <InfoTip about="Tokenizer" explanation={modelExplanations.tokenizer} />
                </span>
              }
            >
              {model.has_tokenizer ? "yes" : <span className="text-warn">no</span>}
            </Fact>
          </dl>
        </Panel>
      ) : null}
      {memory ? (
        <Panel
          title={
            <span className="flex items-center gap-1.5">
              Memory
              <InfoTip about="Memory" explanation={modelExplanations.memory} />
            </span>
          }
        >
          <MemoryBars memory={memory} />
        </Panel>
      ) : null}
      <Panel title="Origin">
        <dl>
          <Fact name="Source">{sourceWords(source)}</Fact>
          {source.kind === "hub" ? (
            <>
              <Fact name="Repository">
                <Mono>{source.repo}</Mono>
              </Fact>
              <Fact name="Revision">
                <Mono>{source.revision}</Mono>
              </Fact>
              {source.commit ? (
                <Fact name="Commit">
                  <CopyText label="commit" text={source.commit} shown={`${source.commit.slice(0, 12)}…`} />
                </Fact>
              ) : null}
            </>
          ) : null}
          {source.kind === "folder" ? (
            <Fact name="Path">
              <CopyText label="path" text={source.path} />
            </Fact>
          ) : null}
          <Fact name={model.status === "ready" ? "Imported" : "Begun"}>
            {formatDateTime(model.created_at)}
          </Fact>
          {model.bytes === null ? null : (
            <Fact name="On disk">
              <Mono>{formatBytes(model.bytes)}</Mono>
            </Fact>
          )}
          {model.status === "ready" ? (
            <Fact name="Folder">
              <CopyText label="folder" text={folder} />
            </Fact>
          ) : null}
          {model.sha256 ? (
            <Fact name="SHA-256">
              <CopyText label="hash" text={model.sha256} shown={`${model.sha256.slice(0, 12)}…`} />
            </Fact>
          ) : null}
        </dl>
      </Panel>
    </>
  );
}
