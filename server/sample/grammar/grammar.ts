import { Dice } from "./dice.ts";
import { Draft, type Span } from "./draft.ts";
import { diary, letter } from "./letters.ts";
import { topicNames } from "./lexicon.ts";
import { ledger, recipe, weather } from "./lists.ts";
import type { Scene } from "./sentences.ts";
import { story, talk } from "./stories.ts";

/** A document of the sample text, and what is true of which of its characters. */
export interface LabelledDocument {
  text: string;
  spans: readonly Span[];
}

type Kind = "story" | "letter" | "recipe" | "ledger" | "weather" | "diary" | "talk";

/** Of twenty documents. */
const share: readonly Kind[] = [
  ...new Array<Kind>(7).fill("story"),
  ...new Array<Kind>(3).fill("letter"),
  ...new Array<Kind>(3).fill("talk"),
  ...new Array<Kind>(2).fill("diary"),
  ...new Array<Kind>(2).fill("recipe"),
  ...new Array<Kind>(2).fill("ledger"),
  "weather",
];

const writers: Record<Kind, (scene: Scene) => void> = { story, letter, recipe, ledger, weather, diary, talk };
const moody: ReadonlySet<Kind> = new Set(["story", "letter", "diary"]);

/** Document `index` of the text that the seed stands for; the same whenever it is asked for. */
export function writeDocument(seed: number, index: number): LabelledDocument {
  const dice = new Dice(seed, index);
  const draft = new Draft();
  const kind = dice.pick(share);
  const topic = dice.pick(topicNames);
  const mood = dice.chance(0.5) ? "glad" : "sad";
  const tense = kind === "story" && dice.chance(0.4) ? "present" : "past";
  const write = () => writers[kind]({ draft, dice, topic, mood, tense });
  const about = kind === "weather" ? write : () => draft.within(`topic.${topic}`, write);
  const told = kind === "story" ? () => draft.within(`tense.${tense}`, about) : about;
  const felt = moody.has(kind) ? () => draft.within(`mood.${mood}`, told) : told;
  draft.within(`kind.${kind}`, felt);
  return { text: draft.text.trimEnd(), spans: trimmed(draft) };
}

function trimmed({ text, spans }: Draft): Span[] {
  const { length } = text.trimEnd();
  return spans
    .map((span) => ({ ...span, end: Math.min(span.end, length) }))
    .filter(({ first, end }) => first < end);
}

/** The first `n` documents of a seed. */
export function labelled(seed: number, n: number): LabelledDocument[] {
  return Array.from({ length: n }, (_, index) => writeDocument(seed, index));
}
