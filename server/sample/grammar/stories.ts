import { boys, girls, type Land, landNames, lands, moods, topics } from "./lexicon.ts";
import {
  agreement,
  aside,
  counting,
  deed,
  exchange,
  foreign,
  possessive,
  pronoun,
  type Scene,
  sky,
  writeName,
} from "./sentences.ts";

/** Words between quotation marks, and who says them. */
function speech(scene: Scene, name: string, verb: "said" | "asked", end: string, body: () => void): void {
  const { draft, tense } = scene;
  draft.write('"').within("inside.quotation", () => {
    body();
    draft.write(end);
  });
  draft.write('" ');
  const spoken = tense === "past" ? verb : verb === "said" ? "says" : "asks";
  draft.write(spoken, "word.verb").write(" ");
  writeName(scene, name);
  draft.write(".");
}

function dialogue(scene: Scene, first: string, second: string): void {
  exchange(
    scene,
    (body) => {
      speech(scene, first, "asked", "", body);
      scene.draft.write(" ");
    },
    (body) => speech(scene, second, "said", ",", body),
  );
}

/** Two people, a place, what they do and say there, and an end of the mood that the story began with. */
export function story(scene: Scene): void {
  const { draft, dice, topic, mood, tense } = scene;
  const [hero, friend] = dice.draw([...girls, ...boys], 2) as [string, string];
  const land = dice.chance(0.6) ? dice.pick(landNames) : null;
  const body = () => tale(scene, hero, friend, land);
  if (land === null) {
    opening(scene, hero, null);
    body();
  } else {
    opening(scene, hero, dice.pick(lands[land].towns));
    draft.within(`land.${land}`, body);
  }
  const ends = tense === "past" ? moods[mood].ends : moods[mood].endsNow;
  draft.write(" In the evening ");
  writeName(scene, hero);
  draft.write(" ").write(dice.pick(ends), "word.verb").write(", and ");
  draft.write(`${possessive(hero)} day ${tense === "past" ? "had been" : "has been"} `);
  draft.write(`${moods[mood].verdict} at the ${dice.pick(topics[topic].places)}.`);
}

function opening(scene: Scene, hero: string, town: string | null): void {
  const { draft, dice, topic, mood, tense } = scene;
  draft.write(tense === "past" ? "Once a " : "Today a ");
  draft.write(dice.pick(moods[mood].adjectives), "word.adjective").write(" ");
  draft.write(dice.pick(topics[topic].people)[0], "word.person").write(" named ");
  writeName(scene, hero);
  draft.write(tense === "past" ? " came to the " : " comes to the ").write(dice.pick(topics[topic].places));
  if (town !== null) draft.write(" of ").write(town, "word.town");
  draft.write(".");
}

function tale(scene: Scene, hero: string, friend: string, land: Land | null): void {
  const { draft, dice, tense } = scene;
  draft.write(" ");
  if (land !== null) {
    draft.write('"').within("inside.quotation", () => foreign(scene, land, "hello"));
    draft
      .write('" ')
      .write(tense === "past" ? "said" : "says", "word.verb")
      .write(" ");
  } else {
    draft.write(tense === "past" ? "There was " : "There is ");
  }
  writeName(scene, friend);
  draft.write(".");
  const sentences = dice.between(4, 8);
  let last = friend;
  for (let count = 0; count < sentences; count++) {
    draft.write(" ");
    const kind = dice.below(8);
    if (kind < 2) agreement(scene);
    else if (kind < 5) {
      const next = dice.chance(0.6) ? last : last === hero ? friend : hero;
      deed(scene, next, next !== last || pronoun(hero) === pronoun(friend));
      last = next;
    } else if (kind === 5) {
      const asks = dice.chance(0.5);
      dialogue(scene, asks ? hero : friend, asks ? friend : hero);
      last = asks ? friend : hero;
    } else if (kind === 6) dice.chance(0.5) ? sky(scene) : counting(scene);
    else aside(scene, hero);
  }
  if (land === null) return;
  draft
    .write(' "')
    .within("inside.quotation", () => foreign(scene, land, dice.chance(0.5) ? "thanks" : "farewell"));
  draft
    .write('" ')
    .write(tense === "past" ? "said" : "says", "word.verb")
    .write(" ");
  writeName(scene, hero);
  draft.write(".");
}

/** A talk with the speakers' names in front of each line; they take turns. */
export function talk(scene: Scene): void {
  const { draft, dice } = scene;
  const speakers = dice.draw([...girls, ...boys], 2) as [string, string];
  const line = (speaker: number, end: string) => (body: () => void) => {
    writeName(scene, speakers[speaker]!);
    draft.write(": ");
    body();
    draft.write(`${end}\n`);
  };
  const land = dice.pick(landNames);
  const exchanges = dice.between(3, 5);
  draft.write("Heard in ").write(dice.pick(lands[land].towns), "word.town").write("\n");
  draft.within(`land.${land}`, () => {
    line(0, "")(() => foreign(scene, land, "hello"));
    line(1, "")(() => foreign(scene, land, "hello"));
    for (let count = 0; count < exchanges; count++) {
      const asks = dice.below(2);
      exchange(scene, line(asks, ""), line(1 - asks, "."));
    }
    line(0, "")(() => foreign(scene, land, "farewell"));
  });
}
