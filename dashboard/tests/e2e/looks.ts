/** How a page looks, kept as pictures: light, dark and on a phone, without a serious accessibility fault. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { expect } from "vitest";
import { faults } from "./axe";

const SHOTS = new URL("../../test-results/screenshots/", import.meta.url).pathname;

export async function shoot(page: Page, name: string): Promise<void> {
  mkdirSync(SHOTS, { recursive: true });
  await page.screenshot({ path: join(SHOTS, `${name}.png`) });
}

/** `isThere`: what must have been drawn. */
export async function expectGoodLooks(page: Page, name: string, address: string, isThere = "h1, h2"): Promise<void> {
  await page.goto(address);
  await page.locator(isThere).first().waitFor();
  for (const theme of ["light", "dark"] as const) {
    await page.evaluate((chosen) => {
      localStorage.setItem("skyscale-theme", chosen);
      document.documentElement.dataset.theme = chosen;
    }, theme);
    await page.locator("[aria-busy=true]").waitFor({ state: "detached" });
    await page.waitForTimeout(500);
    expect(await faults(page)).toEqual([]);
    await shoot(page, `${name}-${theme}`);
  }
  await page.setViewportSize({ width: 390, height: 844 });
  await page.waitForTimeout(250);
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(390);
  await shoot(page, `${name}-phone`);
  await page.setViewportSize({ width: 1440, height: 900 });
}
