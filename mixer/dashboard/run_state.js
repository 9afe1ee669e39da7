// What state a run is in, as the service says it, with a tone.

const TONES = { open: "more", paused: "bad", ended: "same", complete: "same" };

export const isDone = (run) => ["ended", "complete"].includes(run.state);

export function stateOf(run) {
  const text = { ended: `ended: ${run.ended}`, paused: run.paused }[run.state] ?? run.state;
  return { text, tone: TONES[run.state] };
}
