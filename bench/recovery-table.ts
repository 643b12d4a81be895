import type { Recovery } from "../gpu/metrics/recovery.ts";
import type { BaseArchitecture } from "../gpu/sae/architecture.ts";
import type { PeerScore } from "./peer-recovery.ts";

/** One SAE of ours. */
export interface OwnScore {
  architecture: BaseArchitecture;
  seed: number;
  d_sae: number;
  /** null where training diverged. */
  recovery: Recovery | null;
}

const head = ["", "seed", "MCC", "uniq.", "F1", "P / R", "EV", "L0", "dead", "shrink."];

/** Ours beside the peer's, a block an architecture, as a Markdown table; with the mean over ours where there are several. */
export function recoveryTable(own: readonly OwnScore[], peers: readonly PeerScore[]): string {
  const architectures = [...new Set(own.map(({ architecture }) => architecture))];
  const rows = architectures.flatMap((architecture) => {
    const mine = own.filter((score) => score.architecture === architecture);
    const scores = mine.flatMap(ownFigures);
    return [
      ...peers
        .filter((score) => score.architecture === architecture)
        .map((score) => row(`${architecture}, peer: ${score.options}`, score.seed, score)),
      ...mine.map((score) =>
        score.recovery === null
          ? [`**${architecture}, Facet**`, String(score.seed), "diverged"]
          : row(`**${architecture}, Facet**`, score.seed, ...ownFigures(score)),
      ),
      ...(scores.length > 1 ? [row(`**${architecture}, Facet, mean**`, null, meanOf(scores))] : []),
    ];
  });
  const lines = [head, head.map((_, column) => (column === 0 ? "---" : "---:")), ...rows];
  return lines.map((cells) => `| ${head.map((_, column) => cells[column] ?? "").join(" | ")} |`).join("\n");
}

type Figures = Omit<PeerScore, "architecture" | "options" | "seed">;

/** Empty where training diverged, so that means are over what there is. */
function ownFigures({ recovery, d_sae }: OwnScore): Figures[] {
  return recovery === null ? [] : [{ ...recovery, dead: recovery.dead_fraction * d_sae }];
}

function meanOf(scores: readonly Figures[]): Figures {
  const mean = (of: (score: Figures) => number | null) =>
    scores.reduce((sum, score) => sum + (of(score) ?? 0), 0) / scores.length;
  return {
    mcc: mean((score) => score.mcc),
    uniqueness: mean((score) => score.uniqueness),
    f1: mean((score) => score.f1),
    precision: mean((score) => score.precision),
    recall: mean((score) => score.recall),
    explained_variance: mean((score) => score.explained_variance),
    l0: mean((score) => score.l0),
    dead: mean((score) => score.dead),
    shrinkage: mean((score) => score.shrinkage),
  };
}

function row(name: string, seed: number | null, score?: Figures): string[] {
  if (score === undefined) return [name, String(seed)];
  const shown = (value: number | null, decimals: number) => value?.toFixed(decimals) ?? "–";
  return [
    name,
    seed === null ? "–" : String(seed),
    shown(score.mcc, 4),
    shown(score.uniqueness, 3),
    shown(score.f1, 4),
    `${shown(score.precision, 3)} / ${shown(score.recall, 3)}`,
    shown(score.explained_variance, 4),
    shown(score.l0, 2),
    shown(score.dead, Number.isInteger(score.dead) ? 0 : 1),
    shown(score.shrinkage, 3),
  ];
}
