import { accountState } from "@/server/accounts/state";

export const dynamic = "force-dynamic";

export { accountState as GET };
