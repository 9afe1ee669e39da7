// The tables of a run: what each stream was to give and gave, and what happened.

import { count, duration, points, share, short, when } from "../dom.js";
import { table } from "../table.js";

export const streamAddress = (name) => `#/streams/${name}`;

// `run()`: the run as it is now; `dry()`: stream -> { tokens, seconds } until its cap, of those that come to it.
export function useTable(run, dry) {
  const drawn = () => Math.max(1, run().use.reduce((sum, one) => sum + one.realised_samples, 0));
  const off = (u) => (u.realised_samples - u.target_samples) / drawn();
  const dryCell = (u) => {
    const found = dry().get(u.stream);
    if (!found) return "";
    return { text: `after ${short(found.tokens)}${found.seconds === null ? "" : `, in ${duration(found.seconds)}`}`, tone: found.isSoon ? "bad" : "same" };
  };
  return table("Target and realised by stream", [
    { name: "stream", title: "Stream", value: (u) => u.stream, cell: (u) => ({ text: u.stream, href: streamAddress(u.stream) }) },
    { name: "now", title: "Share now", number: true, value: (u) => run().shares[u.stream] ?? 0, cell: (u) => ({ text: share(run().shares[u.stream] ?? 0), meter: run().shares[u.stream] ?? 0 }) },
    { name: "target", title: "Target so far", number: true, value: (u) => u.target_samples, cell: (u) => share(u.target_samples / drawn()) },
    { name: "realised", title: "Realised", number: true, value: (u) => u.realised_samples, cell: (u) => share(u.realised_samples / drawn()) },
    { name: "off", title: "Off, points", number: true, value: off, cell: (u) => points(off(u)) },
    { name: "tokens", title: "Tokens", number: true, value: (u) => u.realised_samples, cell: (u) => count(u.realised_samples * run().seq_len) },
    { name: "passes", title: "Passes", number: true, value: (u) => u.passes, cell: (u) => u.passes.toFixed(3) },
    { name: "dry", title: "Runs dry", number: true, value: (u) => dry().get(u.stream)?.tokens ?? Infinity, cell: dryCell },
  ], { key: (u) => u.stream, sort: "-now" });
}

// What an event changed by key; by component where there is one key alone, or where no key's share has changed.
function changedShares(event) {
  if (!event.keys) return "";
  const byKey = event.keys_before || Object.keys(event.keys).length > 1 ? changed(event.keys_before, event.keys) : "";
  return byKey || changed(event.shares_before, event.shares) || "as before";
}

// Whose shares changed, the largest change first; all of them where nothing was before.
function changed(before, after) {
  const moved = (key) => Math.abs((after[key] ?? 0) - (before?.[key] ?? 0));
  const keys = [...new Set([...Object.keys(before ?? {}), ...Object.keys(after)])].filter((key) => moved(key) >= 0.00005).sort((a, b) => moved(b) - moved(a));
  const said = (key) => (before ? `${key} ${share(before[key] ?? 0)} → ${share(after[key] ?? 0)}` : `${key} ${share(after[key])}`);
  return keys.map(said).join(", ");
}

// The steps of a ramp from one mixture to another as one event.
export function foldRamps(events) {
  const folded = [];
  for (const event of events) {
    const last = folded.at(-1);
    const ends = event.mixture === last?.mixture?.split("..")[1];
    if (last?.event === "ramped" && event.event === "switched" && event.by === last.by && (ends || event.mixture === last.mixture)) {
      folded[folded.length - 1] = { ...last, shares: event.shares, keys: event.keys, why: `until step ${count(event.step)}${ends ? "" : `; ${event.why}`}` };
    } else folded.push(event.event === "switched" && event.mixture?.includes("..") ? { ...event, event: "ramped" } : event);
  }
  return folded;
}

// A row for each benchmark of each evaluation, the newest first.
export const evaluationRows = (evaluations) => evaluations.flatMap((one) => one.benchmarks.map((found) => ({ ...one, ...found }))).reverse();

export function evaluationTable() {
  const passed = (e) => (e.tasks ? { text: `${((100 * e.passed) / e.tasks).toFixed(1)} %`, meter: e.passed / e.tasks } : "");
  return table("Evaluations", [
    { name: "step", title: "Step", number: true, value: (e) => e.step, cell: (e) => count(e.step) },
    { name: "benchmark", title: "Benchmark", value: (e) => e.benchmark, cell: (e) => e.benchmark },
    { name: "passed", title: "pass@1", number: true, value: (e) => (e.tasks ? e.passed / e.tasks : -1), cell: passed },
    { name: "tasks", title: "Tasks", number: true, value: (e) => e.tasks, cell: (e) => count(e.tasks) },
    { name: "bits", title: "Bits per byte", number: true, value: (e) => e.bits_per_byte ?? Infinity, cell: (e) => e.bits_per_byte?.toFixed(3) ?? "" },
    { name: "writer", title: "Answers by", cell: (e) => e.writer },
    { name: "at", title: "When", cell: (e) => when(e.at_s) },
  ], { key: (e) => JSON.stringify([e.step, e.benchmark, e.digest, e.weights, e.writer, e.at_s]) });
}

export function historyTable(title = "History") {
  return table(title, [
    { name: "step", title: "Step", number: true, cell: (e) => count(e.step) },
    { name: "event", title: "Event", cell: (e) => e.event },
    { name: "mixture", title: "Mixture", cell: (e) => (e.mixture ? { text: e.mixture, href: `#/mixtures/${e.mixture.split("..").at(-1).replace("@", "/")}` } : "") },
    { name: "shares", title: "Shares", prose: true, cell: changedShares },
    { name: "why", title: "Why", prose: true, cell: (e) => e.why ?? "" },
    { name: "by", title: "Who", cell: (e) => e.by ?? "" },
    { name: "at", title: "When", cell: (e) => when(e.at_s) },
  ], { key: (e) => JSON.stringify([e.run, e.step, e.event, e.mixture, e.at_s, e.why]), quiet: true });
}
