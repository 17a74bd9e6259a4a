/** A uPlot in its place on the page: made anew when its look changes, given new data otherwise, always in its own frame. */
import uPlot from "uplot";
import { drawSoon, forgetDrawing } from "./frames";
import type { Prepared } from "./prepare";
import { columnsOf, optionsOf, type Look } from "./uplotOptions";

export interface Handlers {
  /** The index on the grid that the pointer is at, or null. */
  onCursor: (index: number | null) => void;
  onZoom: (range: readonly [number, number] | null) => void;
}

export class Drawing {
  private chart: uPlot | null = null;
  private look = "";
  private highlighted: number | null = null;
  private newest: { prepared: Prepared; look: Look } | null = null;
  private drawn: Prepared | null = null;
  private readonly resized: ResizeObserver;

  constructor(
    private readonly host: HTMLElement,
    private readonly height: number,
    private readonly handlers: { readonly current: Handlers },
  ) {
    this.resized = new ResizeObserver(() => this.chart?.setSize({ width: host.clientWidth, height }));
    this.resized.observe(host);
  }

  show(prepared: Prepared, look: Look): void {
    this.newest = { prepared, look };
    drawSoon(this, () => this.draw());
  }

  /** Bring one series to the front, or none. */
  highlight(index: number | null): void {
    this.highlighted = index;
    drawSoon(this, () => this.draw());
  }

  end(): void {
    forgetDrawing(this);
    this.resized.disconnect();
    this.chart?.destroy();
    this.chart = null;
  }

  private draw(): void {
    if (!this.newest) return;
    const { prepared, look } = this.newest;
    performance.mark("chart-set");
    const wanted = JSON.stringify([prepared.series.length, look]);
    if (this.chart && prepared === this.drawn && wanted === this.look) return this.chart.redraw(false);
    const columns = columnsOf(prepared, look.isLog);
    this.drawn = prepared;
    if (this.chart && wanted === this.look) return this.chart.setData(columns);
    this.chart?.destroy();
    this.look = wanted;
    const options = optionsOf(prepared.series.length, look, () => this.highlighted, { width: this.host.clientWidth, height: this.height });
    this.chart = new uPlot({ ...options, hooks: this.hooks() }, columns, this.host);
  }

  private hooks(): uPlot.Hooks.Arrays {
    return {
      draw: [() => performance.measure("chart-draw", "chart-set")],
      setCursor: [(chart) => this.handlers.current.onCursor(chart.cursor.idx ?? null)],
      setSelect: [
        (chart) => {
          const { left, width } = chart.select;
          if (width < 4) return;
          this.handlers.current.onZoom([chart.posToVal(left, "x"), chart.posToVal(left + width, "x")]);
          chart.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
        },
      ],
    };
  }
}
