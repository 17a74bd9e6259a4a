import { forward } from "@/server/proxy";

export const dynamic = "force-dynamic";

export { forward as GET, forward as POST, forward as PUT, forward as PATCH, forward as DELETE };
