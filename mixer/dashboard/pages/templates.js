// Mixtures to begin with, made for the streams that a catalog has; it knows no page.

const HEAD = (name, length) => `name = "${name}"\nseq_len = ${length}\n`;
const COMPONENT = (streams, share, more = "") => `\n[[component]]\nstreams = "${streams}"\nshare = ${share}\n${more}`;

// streams: of the catalog, { name, key, tokens, seq_len }. Each template has `missing`: the streams that it would need, or null.
export function templates(streams) {
  const lengths = new Map();
  for (const one of streams) lengths.set(one.seq_len, (lengths.get(one.seq_len) ?? 0) + one.tokens);
  const length = [...lengths].sort(([, a], [, b]) => b - a)[0][0]; // of the most tokens: a mixture has one
  const fitting = streams.filter((one) => one.seq_len === length);
  const has = (kind) => fitting.some((one) => one.name.startsWith(`${kind}/`));
  const kinds = [...new Set(fitting.map((one) => one.name.split("/")[0]))];
  const base = has("raw") ? "raw" : kinds[0];
  const hasPython = (kind) => fitting.some((one) => one.name.startsWith(`${kind}/`) && one.key === "python");
  const pin = (kind) => (hasPython(kind) ? "pin = { python = 0.5 }\n" : "");
  const needs = (...names) => names.filter((kind) => !has(kind)).map((kind) => `${kind}/*`).join(" and ") || null;
  return [
    { name: "general", title: `${base}/* as it is`, about: "Every stream by its tokens: the first phase of Arctic-SnowCoder.", missing: null, toml: HEAD("general", length) + COMPONENT(`${base}/*`, "1.0") },
    { name: "python", title: "Python raised to a half", about: "Python gets half of the tokens; the other languages keep their proportions to each other.", missing: hasPython(base) ? null : `${base}/python`, toml: HEAD("general", length) + COMPONENT(`${base}/*`, "1.0", "pin = { python = 0.5 }\n") },
    { name: "continued", title: "The best tokens, four times", about: "The best tenth of the scored streams, each sample at most 4 times: the second phase of Arctic-SnowCoder.", missing: needs("scored"), toml: HEAD("continued", length) + COMPONENT("scored/*", "1.0", "best_share = 0.1\nmax_passes = 4\n") },
    { name: "enhanced", title: "Synthetic with a tenth of the best", about: "Nine tenths synthetic files, which wait for the generators when they run dry, and the best scored files: the third phase.", missing: needs("synthetic", "scored"), toml: HEAD("enhanced", length) + COMPONENT("synthetic/*", "0.9", `${pin("synthetic")}max_passes = 4\nwhen_dry = "wait"\n`) + COMPONENT("scored/*", "0.1", `${pin("scored")}best_share = 0.1\nmax_passes = 8\n`) },
    { name: "equal", title: "Each group of streams alike", about: "One component for each first word of the names, with equal shares.", missing: kinds.length > 1 ? null : "two groups of streams", toml: HEAD("equal", length) + kinds.map((kind, place) => COMPONENT(`${kind}/*`, place ? (1 / kinds.length).toFixed(6) : (1 - (kinds.length - 1) * Number((1 / kinds.length).toFixed(6))).toFixed(6))).join("") },
  ];
}
