import { days, directions, numbers, seasons, topics } from "./lexicon.ts";
import { type Scene, writeNoun } from "./sentences.ts";

/** "You need three nets and a rope." and numbered steps in which just these are used. */
export function recipe(scene: Scene): void {
  const { draft, dice, topic } = scene;
  const { things, adjectives, places } = topics[topic];
  const needed = dice.draw(things, 3).map((noun) => ({ noun, count: dice.between(1, 6) }));
  draft.write(`What to do at the ${dice.pick(places)}\nYou need `);
  needed.forEach(({ noun, count }, at) => {
    draft
      .write(["", ", ", " and "][at]!)
      .write(numbers[count - 1]!, "word.number")
      .write(" ");
    writeNoun(scene, noun, count > 1);
  });
  draft.write(".\n");
  const steps = dice.between(4, 8);
  for (let step = 1; step <= steps; step++) {
    const { noun, count } = dice.pick(needed);
    draft
      .write(`${step}`, "word.digit")
      .write(". ")
      .write(dice.pick(["Take", "Clean", "Move", "Count", "Keep"]));
    draft.write(" the ");
    if (count > 1 && dice.chance(0.5)) draft.write(numbers[count - 1]!, "word.number").write(" ");
    writeNoun(scene, noun, count > 1);
    if (dice.chance(0.3)) {
      draft.write(" (").within("inside.brackets", () => {
        draft.write(count > 1 ? "the " : "a ").write(dice.pick(adjectives), "word.adjective");
        draft.write(count > 1 ? " ones" : " one");
      });
      draft.write(")");
    }
    draft.write(".\n");
  }
}

/** Lines of goods with small sums that are right. */
export function ledger(scene: Scene): void {
  const { draft, dice, topic } = scene;
  const lines = dice.between(4, 7);
  draft.write("Accounts of the ").write(dice.pick(topics[topic].people)[0], "word.person").write("\n");
  for (let line = 0; line < lines; line++) {
    const old = dice.between(1, 5);
    const more = dice.between(1, 4);
    draft.write("- ");
    writeNoun(scene, dice.pick(topics[topic].things), true);
    draft.write(dice.chance(0.3) ? " (" : ": ");
    const bracket = draft.text.endsWith("(");
    const sum = () =>
      draft.within("inside.sum", () => {
        draft.write(`${old}`, "word.digit").write(" + ").write(`${more}`, "word.digit").write(" = ");
        draft.write(`${old + more}`, "word.digit", "word.decided");
      });
    if (bracket) draft.within("inside.brackets", sum).write(")\n");
    else sum().write("\n");
  }
}

/** Days in their order, with the weather and degrees of the season, which the month at the top decides. */
export function weather({ draft, dice }: Scene): void {
  const name = dice.pick(["winter", "summer"] as const);
  const season = seasons[name];
  draft.within(`season.${name}`, () => {
    draft.write("The weather in ").write(dice.pick(season.months), "word.month").write("\n");
    const first = dice.below(7);
    const count = dice.between(4, 7);
    for (let at = 0; at < count; at++) {
      draft
        .write(days[(first + at) % 7]!, "word.day")
        .write(": ")
        .write(dice.pick(season.skies), "word.sky");
      draft.write(`, wind from the ${dice.pick(directions)}, `);
      draft
        .write(`${dice.between(season.degrees[0]!, season.degrees[1]!)}`, "word.digit")
        .write(" degrees.\n");
    }
  });
}
