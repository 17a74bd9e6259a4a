import { changeUser, removeUser } from "@/server/accounts/users";

export const dynamic = "force-dynamic";

interface Context {
  params: Promise<{ id: string }>;
}

export const PATCH = async (request: Request, { params }: Context) => changeUser(request, (await params).id);
export const DELETE = async (request: Request, { params }: Context) => removeUser(request, (await params).id);
