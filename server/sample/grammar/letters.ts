import { boys, days, families, girls, months, moods, topics } from "./lexicon.ts";
import { agreement, counting, pronoun, type Scene, sky, writeName, writeNoun } from "./sentences.ts";

/** First person: "I mended the nets gladly." */
function own(scene: Scene): void {
  const { draft, dice, topic, mood } = scene;
  draft.write("I ").write(dice.pick(topics[topic].verbs)[1], "word.verb").write(" the ");
  writeNoun(scene, dice.pick(topics[topic].things), dice.chance(0.5));
  draft.write(" ").write(dice.pick(moods[mood].adverbs), "word.adverb").write(".");
}

function sentences(scene: Scene, count: number): void {
  for (let at = 0; at < count; at++) {
    scene.draft.write(" ");
    const kind = scene.dice.below(6);
    if (kind < 3) own(scene);
    else if (kind < 5) agreement(scene);
    else scene.dice.chance(0.5) ? sky(scene) : counting(scene);
  }
}

/** Between friends or to a stranger; the greeting decides the closing, and who writes is said at the start. */
export function letter(scene: Scene): void {
  const { draft, dice, topic, mood } = scene;
  const [to, from] = dice.draw([...girls, ...boys], 2) as [string, string];
  const formal = dice.chance(0.5);
  draft.within("part.greeting", () => {
    if (formal) draft.write(`Dear ${pronoun(to) === "he" ? "Mr" : "Mrs"} ${dice.pick(families)},`);
    else {
      draft.write("Dearest ");
      writeName(scene, to);
      draft.write(",");
    }
  });
  draft.write("\n\n").write(formal ? "My name is " : "It is your old friend ");
  writeName(scene, from);
  draft.write(`, and I write from the ${dice.pick(topics[topic].places)} on `);
  draft.write(dice.pick(days), "word.day").write(".");
  sentences(scene, dice.between(3, 6));
  draft.write(` My days are ${moods[mood].verdict}.\n\n`);
  draft.within("part.closing", () => {
    draft.write(formal ? "Yours faithfully," : "With much love,", "word.decided").write("\n");
    draft.within("word.decided", () => writeName(scene, from));
  });
}

/** Entries of days that follow one another, through the ends of months too. */
export function diary(scene: Scene): void {
  const { draft, dice } = scene;
  let day = dice.below(7);
  let month = dice.below(12);
  let date = dice.between(1, 28);
  const entries = dice.between(3, 5);
  for (let entry = 0; entry < entries; entry++) {
    if (entry > 0) draft.write("\n");
    draft
      .write(days[day]!, "word.day", ...(entry > 0 ? (["word.decided"] as const) : []))
      .write(", ")
      .write(`${date}`, "word.digit")
      .write(" ");
    draft.write(months[month]!, "word.month").write(".");
    sentences(scene, dice.between(1, 3));
    day = (day + 1) % 7;
    date++;
    if (date > 28) {
      date = 1;
      month = (month + 1) % 12;
    }
  }
}
