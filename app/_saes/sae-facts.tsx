import Link from "next/link";
import type { SaeConfig } from "../../gpu/sae/sae.ts";
import type { SaeDetail } from "../../server/saes/views.ts";
import { CopyText } from "../_ui/copy-text.tsx";
import { formatBytes, formatCount, formatDateTime, noValue } from "../_ui/format.ts";
import { InfoTip } from "../_ui/info-tip.tsx";
import { Fact, Panel } from "../_ui/panel.tsx";
import { activationNames, architectureName, formatNames, normalizationNames } from "./sae-words.ts";

function yesNo(value: boolean): string {
  return value ? "yes" : "no";
}

/** What it is, what it computes, where it comes from and where it lies. */
export function SaeFactPanels({ sae, home }: { sae: SaeDetail; home: string | null }) {
  const { config } = sae;
  const folder = home ? `${home.replace(/\/$/, "")}/${sae.path}` : sae.path;
  return (
    <>
      <Panel title="Facts">
        <dl>
          <Fact name="Trained as">{architectureName(sae.architecture)}</Fact>
          <Fact name="d_in">
            <span className="num">{sae.d_in === null ? noValue : formatCount(sae.d_in)}</span>
          </Fact>
          {sae.d_out !== sae.d_in && sae.d_out !== null ? (
            <Fact name="d_out">
              <span className="num">{formatCount(sae.d_out)}</span>
            </Fact>
          ) : null}
          <Fact name="d_sae">
            <span className="num">{sae.d_sae === null ? noValue : formatCount(sae.d_sae)}</span>
          </Fact>
          {config ? <Computation config={config} /> : null}
        </dl>
      </Panel>
      <Panel title="Origin">
        <dl>
          <Fact name="From">
            {sae.run ? (
              <Link href={`/runs/${sae.run.id}`} className="text-accent hover:underline">
                {sae.run.name}
              </Link>
            ) : (
              formatNames[sae.format]
            )}
          </Fact>
          {sae.origin ? (
            <Fact name="Imported from">
              <CopyText label="path" text={sae.origin} />
            </Fact>
          ) : null}
          <Fact name="Model">{sae.model_name ?? noValue}</Fact>
          <Fact name="Hook point">
            <span className="num">{sae.hook_name ?? noValue}</span>
          </Fact>
          {config?.metadata.hook_name_out ? (
            <Fact name="Target">
              <span className="num">{config.metadata.hook_name_out}</span>
            </Fact>
          ) : null}
          <Fact name="Dataset">{sae.dataset_name ?? noValue}</Fact>
          <Fact name="Made">{formatDateTime(sae.created_at)}</Fact>
        </dl>
      </Panel>
      {sae.status === "ready" ? (
        <Panel title="Files">
          <dl>
            <Fact name="Folder">
              <CopyText label="folder" text={folder} shown={sae.path} />
            </Fact>
            <Fact name="Size">
              <span className="num">{sae.bytes === null ? noValue : formatBytes(sae.bytes)}</span>
            </Fact>
            <Fact name="SHA-256">
              {sae.sha256 ? (
                <CopyText label="hash" text={sae.sha256} shown={`${sae.sha256.slice(0, 16)}…`} />
              ) : (
                noValue
              )}
            </Fact>
          </dl>
        </Panel>
      ) : null}
    </>
  );
}

function Computation({ config }: { config: SaeConfig }) {
  return (
    <>
      <Fact
        name={
          <span className="flex items-center gap-1.5">
            Used as
            <InfoTip
              about="what it is used as"
              explanation={{
                help: "The function that the weights stand for. BatchTopK and its like are used as a JumpReLU, with the threshold that they learnt.",
                source: "SAELens",
              }}
            />
          </span>
        }
      >
        {activationNames[config.activation]}
        {config.k === null ? "" : `, k ${config.k}`}
      </Fact>
      {config.n_hook_points > 1 ? (
        <Fact name="Hook points">
          <span className="num">{config.n_hook_points}</span>
        </Fact>
      ) : null}
      {config.transcoder ? <Fact name="Linear path beside">{yesNo(config.skip)}</Fact> : null}
      <Fact name="Subtracts b_dec from the input">{yesNo(config.apply_b_dec_to_input)}</Fact>
      <Fact name="Normalises">{normalizationNames[config.normalize_activations]}</Fact>
      {config.rescale_acts_by_decoder_norm ? <Fact name="Selects by decoder norm">yes</Fact> : null}
    </>
  );
}
