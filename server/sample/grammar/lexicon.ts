/** A noun's singular and plural. */
export type Noun = readonly [string, string];
/** he works, he worked. */
export type Verb = readonly [string, string];

export interface Topic {
  things: readonly Noun[];
  people: readonly Noun[];
  places: readonly string[];
  /** What people do to things. */
  verbs: readonly Verb[];
  /** What things are like. */
  adjectives: readonly string[];
}

const nouns = (text: string): Noun[] =>
  text.split(" ").map((entry): Noun => {
    const [singular, plural] = entry.split("/");
    return [singular!, plural ?? `${singular}s`];
  });
const verbs = (text: string): Verb[] =>
  text.split(" ").map((entry): Verb => {
    const [present, past] = entry.split("/");
    return [present!, past!];
  });
const words = (text: string): string[] => text.split(" ");

export const topics = {
  sea: {
    things: nouns("boat net sail rope wave shell anchor gull oar lantern"),
    people: nouns("sailor fisher captain"),
    places: words("harbour beach pier"),
    verbs: verbs("mends/mended pulls/pulled ties/tied steers/steered"),
    adjectives: words("wet salty blue deep"),
  },
  kitchen: {
    things: nouns("pot spoon loaf/loaves plate cake onion cup oven pan egg"),
    people: nouns("cook baker maid"),
    places: words("kitchen pantry bakery"),
    verbs: verbs("stirs/stirred bakes/baked tastes/tasted heats/heated"),
    adjectives: words("hot sweet burnt fresh"),
  },
  garden: {
    things: nouns("rose bee apple spade seed tree hedge bush/bushes leaf/leaves pear"),
    people: nouns("gardener farmer neighbour"),
    places: words("garden orchard meadow"),
    verbs: verbs("plants/planted waters/watered digs/dug picks/picked"),
    adjectives: words("green ripe tall wild"),
  },
  market: {
    things: nouns("coin basket stall cloth barrel scale ring carpet lamp jar"),
    people: nouns("merchant weaver trader"),
    places: words("market square shop"),
    verbs: verbs("buys/bought sells/sold weighs/weighed carries/carried"),
    adjectives: words("cheap dear heavy fine"),
  },
  school: {
    things: nouns("book pencil desk lesson map page bell slate poem chair"),
    people: nouns("teacher pupil master"),
    places: words("school library hall"),
    verbs: verbs("reads/read writes/wrote learns/learned draws/drew"),
    adjectives: words("short hard clever new"),
  },
  mountain: {
    things: nouns("peak goat rock path bridge stream cliff hut cave pine"),
    people: nouns("climber shepherd guide"),
    places: words("valley pass summit"),
    verbs: verbs("climbs/climbed crosses/crossed follows/followed finds/found"),
    adjectives: words("steep high narrow icy"),
  },
} satisfies Record<string, Topic>;

export type TopicName = keyof typeof topics;
export const topicNames = Object.keys(topics) as TopicName[];

export const girls = words("Anna Clara Ida Maria Rosa Vera");
export const boys = words("Ben Emil Hugo Oskar Paul Tom");
export const families = words("Hall Brook Stone Field");

export const moods = {
  glad: {
    adverbs: words("gladly brightly gently merrily"),
    adjectives: words("bright warm golden lovely"),
    skies: { past: ["The sun shone", "The sky was clear"], present: ["The sun shines", "The sky is clear"] },
    ends: words("laughed sang danced smiled"),
    endsNow: words("laughs sings dances smiles"),
    verdict: "good and happy",
  },
  sad: {
    adverbs: words("slowly sadly wearily coldly"),
    adjectives: words("grey cold lonely broken"),
    skies: { past: ["The rain fell", "The sky was dark"], present: ["The rain falls", "The sky is dark"] },
    ends: words("wept sighed waited sat"),
    endsNow: words("weeps sighs waits sits"),
    verdict: "long and bitter",
  },
} as const;

export type Mood = keyof typeof moods;

/** Invented lands: a town that is named decides which words are spoken there. */
export const lands = {
  orvania: {
    towns: words("Orva Tellan Hurst"),
    hello: "halvo",
    thanks: "tekka",
    farewell: "ordun",
    friend: "brunn",
  },
  mirea: {
    towns: words("Mira Solene Bellia"),
    hello: "salia",
    thanks: "mirelo",
    farewell: "aviane",
    friend: "caroli",
  },
  kostrel: {
    towns: words("Kostra Zelin Prask"),
    hello: "zdrask",
    thanks: "vekuj",
    farewell: "nazdel",
    friend: "drusek",
  },
} as const;

export type Land = keyof typeof lands;
export const landNames = Object.keys(lands) as Land[];

export const days = words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday");
export const months = words(
  "January February March April May June July August September October November December",
);
export const numbers = words("one two three four five six seven eight nine ten");
export const directions = words("north south east west");

export const seasons = {
  winter: {
    months: words("December January February"),
    skies: words("snow frost ice sleet"),
    degrees: [0, 4],
  },
  summer: { months: words("June July August"), skies: words("sun heat haze thunder"), degrees: [20, 29] },
} as const;
