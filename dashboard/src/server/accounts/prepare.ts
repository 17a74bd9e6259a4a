/** Makes accounts ready, waiting for a database that is still starting. Ends the process when they cannot be. */
import "server-only";
import { migrateAccounts, numPeople } from "./auth";
import { setupCode } from "./setup";

const ATTEMPTS = 20;
const PAUSE_MS = 1_000;

export async function prepareAccounts(): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await migrateAccounts();
      break;
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      const isStarting = ["ECONNREFUSED", "ENOTFOUND", "57P03"].includes((error as NodeJS.ErrnoException).code ?? "");
      if (!isStarting || attempt === ATTEMPTS) {
        console.error(`accounts: ${text || String(error)}`);
        process.exit(1);
      }
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }
  // `skyscale up` prints its own; this line is for a server that was started by hand.
  if (!process.env.SKYSCALE_SETUP_CODE && (await numPeople()) === 0) console.log(`Set-up code for the first account: ${setupCode()}`);
}
