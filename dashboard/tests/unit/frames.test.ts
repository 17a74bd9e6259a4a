/** Drawing spread over frames. */
import { afterEach, expect, test, vi } from "vitest";
import { drawSoon, forgetDrawing } from "@/charts/frames";

let frames: (() => void)[] = [];
let isHandWaiting = false;
vi.stubGlobal("requestAnimationFrame", (paint: () => void) => frames.push(paint));
vi.stubGlobal("navigator", { scheduling: { isInputPending: () => isHandWaiting } });
vi.useFakeTimers({ toFake: ["setTimeout"] });

afterEach(() => {
  while (frames.length > 0) frame();
});

function frame(): void {
  const now = frames;
  frames = [];
  for (const paint of now) paint();
  vi.advanceTimersByTime(0);
}

test("one chart is drawn after each paint, in the order in which they asked, with what they asked for last", () => {
  const drawn: string[] = [];
  const [first, second, third] = [{}, {}, {}];
  drawSoon(first, () => drawn.push("first, old"));
  drawSoon(second, () => drawn.push("second"));
  drawSoon(third, () => drawn.push("third"));
  drawSoon(first, () => drawn.push("first"));
  forgetDrawing(third);
  expect(drawn).toEqual([]);
  frame();
  expect(drawn).toEqual(["first"]);
  frame();
  expect(drawn).toEqual(["first", "second"]);
  frame();
  expect([drawn.length, frames.length]).toEqual([2, 0]);
});

test("a hand that waits comes first", () => {
  let isDrawn = false;
  drawSoon({}, () => (isDrawn = true));
  isHandWaiting = true;
  frame();
  expect(isDrawn).toBe(false);
  isHandWaiting = false;
  frame();
  expect(isDrawn).toBe(true);
});
