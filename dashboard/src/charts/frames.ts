/**
 * Drawing spread over frames: one chart after each paint, so that a hand is answered between two of them. What an owner
 * asks for again before its turn replaces what it asked for first, and keeps its place.
 */
const waiting = new Map<object, () => void>();
let isAsked = false;

export function drawSoon(owner: object, draw: () => void): void {
  waiting.set(owner, draw);
  ask();
}

export function forgetDrawing(owner: object): void {
  waiting.delete(owner);
}

function ask(): void {
  if (isAsked) return;
  isAsked = true;
  // The frame is painted before a timer that is set in it: first what the hand did, then the chart.
  requestAnimationFrame(() => setTimeout(drawOne, 0));
}

function drawOne(): void {
  isAsked = false;
  if (isHandWaiting()) return ask();
  const [next] = waiting;
  if (!next) return;
  const [owner, draw] = next;
  waiting.delete(owner);
  if (waiting.size > 0) ask();
  draw();
}

/** Whether a key or a click waits for this thread, where the browser tells. */
function isHandWaiting(): boolean {
  const { scheduling } = navigator as Navigator & { scheduling?: { isInputPending?: () => boolean } };
  return scheduling?.isInputPending?.() ?? false;
}
