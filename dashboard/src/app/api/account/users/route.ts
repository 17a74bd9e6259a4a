import { addUser, listUsers } from "@/server/accounts/users";

export const dynamic = "force-dynamic";

export { listUsers as GET, addUser as POST };
