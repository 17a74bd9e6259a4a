import { listSessions } from "@/server/accounts/sessions";

export const dynamic = "force-dynamic";

export { listSessions as GET };
