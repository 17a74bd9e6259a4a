import { stream } from "@/server/stream";

export const dynamic = "force-dynamic";

export { stream as GET };
