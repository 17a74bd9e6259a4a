import { measurePolicy } from "@/server/measurePolicy";

export const dynamic = "force-dynamic";

export { measurePolicy as POST };
