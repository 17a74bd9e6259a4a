import { handleAuth } from "@/server/accounts/handler";

export const dynamic = "force-dynamic";

export { handleAuth as POST };
