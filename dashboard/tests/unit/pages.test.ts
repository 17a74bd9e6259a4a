/** What pages say of prices, offers and templates. */
import { describe, expect, test } from "vitest";
import { bodyOfEntries, entriesOfBody, fieldsOf } from "@/features/forms/fields";
import { availability, matchingOffers, ordered, type Inventory, type Offer, type Provider } from "@/features/jobs/inventory";
import { costNote, dollars, meterNote } from "@/features/run/cost";
import { versionRows } from "@/features/run/versions";
import type { RunEvent } from "@/features/run/useEvents";

const METER = { gpu_s: 0, cpu_s: 7200, sandbox_s: 5, tokens: 100, usd: 0, usd_per_hour: 0, max_cost_usd: null, unpriced: [], metered_at: "2026-01-01T00:00:00Z" };

describe("money", () => {
  test.each([[0, "$0.00"], [0.0001, "< $0.001"], [0.0042, "$0.004"], [0.42, "$0.42"], [12.4, "$12.40"], [1830.4, "$1,830"], [null, "–"], [NaN, "–"]])("%s is %s", (usd, text) => {
    expect(dollars(usd)).toBe(text);
  });

  test("a meter says what it lacks before anything else", () => {
    expect(meterNote(METER)).toBe("2.00 CPU hours");
    expect(meterNote({ ...METER, gpu_s: 90_000, usd_per_hour: 2.5, max_cost_usd: 10 })).toBe("of $10.00, now $2.50 per hour");
    expect(meterNote({ ...METER, unpriced: ["acme/h100"], usd_per_hour: 2 })).toBe("no price known for acme/h100");
  });
});

test("a cost says its limit and its rate, and first what has no price", () => {
  expect(costNote({ usd: 0.42, usd_per_hour: 2.5, max_cost_usd: 5 })).toBe("$0.42 of $5.00, now $2.50 per hour");
  expect(costNote({ usd: 3, usd_per_hour: 0, max_cost_usd: null, unpriced: [] })).toBe("$3.00");
  expect(costNote({ usd: 3, usd_per_hour: 0, max_cost_usd: null, unpriced: ["acme/h100"] })).toBe("no price known for acme/h100");
});

describe("the inventory", () => {
  const provider = (name: string, order: number | null, is_ready: boolean): Provider => ({ name, order, is_ready, missing: null, trouble: null, runs_commands: true, runs_images: false, is_this_host: false });
  const offer = (provider_: string, gpu_model: string, usd_per_hour: number | null): Offer => ({ provider: provider_, gpu_model, name: gpu_model.toUpperCase(), memory_gb: 80, usd_per_hour, total: null, available: null });
  const inventory: Inventory = {
    providers: [provider("unset", 1, false), provider("second", 2, true), provider("named", null, true), provider("first", 1, true)],
    offers: [offer("unset", "h100", 1), offer("second", "h100", null), offer("second", "a100", 2), offer("first", "h100", 3)],
  };

  test("providers stand as they are asked, those that are not set up last", () => {
    expect(ordered(inventory.providers).map(({ name }) => name)).toEqual(["first", "second", "named", "unset"]);
  });

  test("what can be had comes first, cheap before dear, an unknown price last", () => {
    expect(matchingOffers(inventory, "").map((each) => `${each.provider} ${each.gpu_model}`)).toEqual(["second a100", "first h100", "second h100", "unset h100"]);
    expect(matchingOffers(inventory, "SECOND h100").map(({ usd_per_hour }) => usd_per_hour)).toEqual([null]);
  });

  test("availability is what was told, and no more", () => {
    const told = (total: number | null, available: number | null) => availability({ ...offer("a", "b", 1), total, available });
    expect([told(8, 3), told(null, 2), told(8, 0), told(8, null), told(null, null)]).toEqual(["3 of 8 free", "2 free", "none free", "8 in all", "not told"]);
  });
});

test("a template fills in what it changes, and the form sends the same body", () => {
  const fields = fieldsOf("TrainingJobCreate");
  const body = { command: ["python", "-c", "print(1)"], gpu_model: "a100:2", env_vars: { EPOCHS: "1" }, max_attempts: 1, timeout_s: 600, docker_image: null };
  const entries = entriesOfBody(fields, body);
  expect(entries).toEqual({ command: '["python","-c","print(1)"]', gpu_model: "a100:2", env_vars: '{"EPOCHS":"1"}', timeout_s: "600" });
  expect(bodyOfEntries(fields, entries)).toEqual({ command: body.command, gpu_model: "a100:2", env_vars: body.env_vars, timeout_s: 600 });
});

test("the life of a version is put together from its events", () => {
  const event = (seq: number, kind: string, timestamp: string, data: object) => ({ seq, kind, timestamp, data }) as unknown as RunEvent;
  const rows = versionRows(
    [event(1, "policy.published", "2026-01-01T00:00:00Z", { version: 1 }), event(2, "policy.swapped", "2026-01-01T00:00:01Z", { version: 1, since_publish_ms: 400, fetch_ms: 90, stall_ms: 7 }), event(3, "policy.published", "2026-01-01T00:00:03Z", { version: 2 })],
    [],
  );
  expect(rows.map(({ version, interval_s, delay_ms, stall_ms }) => [version, interval_s, delay_ms, stall_ms])).toEqual([[2, 3, null, null], [1, null, 400, 7]]);
});
