import { endSession } from "@/server/accounts/sessions";

export const dynamic = "force-dynamic";

interface Context {
  params: Promise<{ id: string }>;
}

export const DELETE = async (request: Request, { params }: Context) => endSession(request, (await params).id);
