import type { Dice } from "./dice.ts";
import type { Draft } from "./draft.ts";
import type { Label } from "./labels.ts";
import {
  boys,
  type Land,
  lands,
  type Mood,
  moods,
  type Noun,
  numbers,
  type TopicName,
  topics,
} from "./lexicon.ts";

export type Tense = "past" | "present";

/** What holds for a whole document. */
export interface Scene {
  draft: Draft;
  dice: Dice;
  topic: TopicName;
  mood: Mood;
  tense: Tense;
}

const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

export const nameLabel = (name: string): Label => (boys.includes(name) ? "word.boy" : "word.girl");
export const pronoun = (name: string): string => (boys.includes(name) ? "he" : "she");
export const possessive = (name: string): string => (boys.includes(name) ? "his" : "her");

export function writeName({ draft }: Pick<Scene, "draft">, name: string): void {
  draft.write(name, nameLabel(name));
}

export function be(tense: Tense, plural: boolean): string {
  if (tense === "past") return plural ? "were" : "was";
  return plural ? "are" : "is";
}

export function writeNoun(
  { draft }: Pick<Scene, "draft">,
  noun: Noun,
  plural: boolean,
  ...more: readonly Label[]
): void {
  draft.write(noun[plural ? 1 : 0], "word.noun", ...(plural ? (["word.plural"] as const) : []), ...more);
}

/** "The grey boats near the wall were wet." The verb agrees with the first noun, not with the nearest. */
export function agreement(scene: Scene): void {
  const { draft, dice, topic, mood, tense } = scene;
  const { things, adjectives } = topics[topic];
  const [subject, other] = dice.draw(things, 2) as [Noun, Noun];
  const plural = dice.chance(0.5);
  draft.write("The ");
  if (dice.chance(0.4)) draft.write(dice.pick(moods[mood].adjectives), "word.adjective").write(" ");
  draft.within(plural ? "subject.plural" : "subject.singular", () => {
    writeNoun(scene, subject, plural);
    if (dice.chance(0.6)) {
      draft.write(` ${dice.pick(["near", "behind", "under", "beside"])} the `);
      writeNoun(scene, other, dice.chance(0.5));
    }
  });
  draft.write(" ").write(be(tense, plural), "word.be", "word.decided").write(" ");
  draft.write(dice.pick(adjectives), "word.adjective");
  if (dice.chance(0.3)) draft.write(" and ").write(dice.pick(moods[mood].adjectives), "word.adjective");
  draft.write(".");
}

/** "Anna mended the nets slowly." Later she is "She". */
export function deed(scene: Scene, name: string, named: boolean): void {
  const { draft, dice, topic, mood, tense } = scene;
  const { things, verbs } = topics[topic];
  if (named) writeName(scene, name);
  else draft.write(capital(pronoun(name)));
  draft.write(" ").write(dice.pick(verbs)[tense === "past" ? 1 : 0], "word.verb");
  draft.write(dice.chance(0.25) ? ` ${possessive(name)} ` : " the ");
  writeNoun(scene, dice.pick(things), dice.chance(0.5));
  if (dice.chance(0.5)) draft.write(" ").write(dice.pick(moods[mood].adverbs), "word.adverb");
  draft.write(".");
}

/** "The sun shone over the harbour." */
export function sky({ draft, dice, topic, mood, tense }: Scene): void {
  draft.write(dice.pick(moods[mood].skies[tense]), "word.sky");
  draft.write(" over the ").write(dice.pick(topics[topic].places)).write(".");
}

/** "There were three shells: one, two, three." */
export function counting(scene: Scene): void {
  const { draft, dice, topic, tense } = scene;
  const count = dice.between(2, 7);
  draft.write("There ").write(be(tense, true), "word.be").write(" ");
  draft.write(numbers[count - 1]!, "word.number").write(" ");
  writeNoun(scene, dice.pick(topics[topic].things), true);
  draft.write(": ").within("inside.counting", () => {
    for (let at = 0; at < count; at++) {
      draft.write(at === 0 ? "" : ", ").write(numbers[at]!, "word.number", "word.decided");
    }
  });
  draft.write(".");
}

/** "The cook (a friend of Anna) bought a pot (a new one)." */
export function aside(scene: Scene, name: string): void {
  const { draft, dice, topic, tense } = scene;
  const { people, things, verbs, adjectives } = topics[topic];
  draft.write("The ").write(dice.pick(people)[0], "word.person").write(" (");
  draft.within("inside.brackets", () => {
    draft.write(dice.pick(["a friend of ", "known to ", "a cousin of "]));
    writeName(scene, name);
  });
  draft
    .write(") ")
    .write(dice.pick(verbs)[tense === "past" ? 1 : 0], "word.verb")
    .write(" the ");
  writeNoun(scene, dice.pick(things), false);
  if (dice.chance(0.5)) {
    draft.write(" (");
    draft.within("inside.brackets", () => {
      draft.write("the ").write(dice.pick(adjectives), "word.adjective").write(" one");
    });
    draft.write(")");
  }
  draft.write(".");
}

/** A question of one and the answer of the other, which takes up its words. Written by `ask` and `answer`. */
export function exchange(
  scene: Scene,
  ask: (body: () => void) => void,
  answer: (body: () => void) => void,
): void {
  const { draft, dice, topic } = scene;
  const { things, adjectives } = topics[topic];
  const noun = dice.pick(things);
  const adjective = dice.pick(adjectives);
  const plural = dice.chance(0.5);
  const yes = dice.chance(0.5);
  ask(() => {
    draft.within("inside.question", () => {
      draft.write(capital(be("present", plural)), "word.be").write(" the ");
      writeNoun(scene, noun, plural);
      draft.write(" ").write(adjective, "word.adjective").write("?");
    });
  });
  answer(() => {
    draft.write(yes ? "Yes, the " : "No, the ");
    writeNoun(scene, noun, plural, "word.decided");
    draft
      .write(" ")
      .write(be("present", plural), "word.be", "word.decided")
      .write(yes ? " " : " not ");
    draft.write(adjective, "word.adjective", "word.decided");
  });
}

/** A greeting, thanks or farewell in the land's own words, capitalised: "Halvo, brunn!" */
export function foreign(
  { draft }: Pick<Scene, "draft">,
  land: Land,
  which: "hello" | "thanks" | "farewell",
): void {
  draft.write(capital(lands[land][which]), "word.foreign").write(", ");
  draft.write(lands[land].friend, "word.foreign", "word.decided").write("!");
}
