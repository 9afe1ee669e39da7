// The arithmetic of curves over steps: values in, values out; it knows no page.

// An exponential mean over the points before, without the weight of a beginning; null stays null. `weight`: 0 (as they are) to below 1.
export function smoothed(values, weight) {
  if (!weight) return values;
  let mean = 0;
  let seen = 0;
  return values.map((value) => {
    if (value === null || value === undefined) return null;
    seen += 1;
    mean = weight * mean + (1 - weight) * value;
    return mean / (1 - weight ** seen);
  });
}

// The batches [start, end) that the point at a step stands for; steps: where the points are, the first begins at `first`.
export function windowAt({ first_step: first, steps }, step) {
  const place = steps.indexOf(step);
  return place < 0 ? null : { start: place ? steps[place - 1] : first, end: step };
}

// Seconds until so many more steps are trained at a speed in tokens a second; null where it is not known.
export function timeLeft(stepsLeft, batchTokens, tokensPerS) {
  if (!tokensPerS || stepsLeft === null || stepsLeft === undefined) return null;
  return (Math.max(0, stepsLeft) * batchTokens) / tokensPerS;
}

// Names in an order that stays: those known keep their places, new ones follow.
export function keepOrder(known, names) {
  const there = new Set(names);
  return [...known.filter((name) => there.has(name)), ...names.filter((name) => !known.includes(name))];
}

// Sums by key of what is given by stream ("raw/python" has the key python), the largest first.
export function byKey(shares) {
  const sums = new Map();
  for (const [stream, own] of Object.entries(shares)) {
    const key = stream.split("/")[1];
    sums.set(key, (sums.get(key) ?? 0) + own);
  }
  return new Map([...sums].sort(([, a], [, b]) => b - a));
}
