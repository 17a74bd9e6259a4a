/**
 * What an admin does with other people's accounts. The last admin can be neither removed nor demoted. Keys that reach
 * further than the new role are revoked first: if that fails, nothing is changed.
 */
import "server-only";
import { callAs } from "../controlPlane";
import { answering, problem, Refusal } from "../problem";
import { accounts, MIN_PASSWORD_CHARS, personOf, type Person } from "./auth";
import { requireOwnPage } from "./handler";
import { includes, isReading, isRole, type Role } from "./roles";
import { callerOf, forgetSessions } from "./session";

const ROLE_OF_SCOPE: Record<string, Role> = { read: "viewer", operate: "operator", admin: "admin" };
const EMAIL = /^[^\s@]+@[^\s@]+\.[^\s@]+$/;
const MOST_PEOPLE = 500;

export async function listUsers(request: Request): Promise<Response> {
  return asAdmin(request, async () => {
    const { internalAdapter } = await accounts().$context;
    const users = await internalAdapter.listUsers(MOST_PEOPLE, 0, { field: "createdAt", direction: "asc" });
    return Response.json({ users: users.map((user) => ({ ...personOf(user), createdAt: user.createdAt })) }, { headers: { "cache-control": "no-store" } });
  });
}

export async function addUser(request: Request): Promise<Response> {
  return asAdmin(request, async () => {
    const { email, name, role, password } = await bodyOf(request);
    if (typeof email !== "string" || email.length > 200 || !EMAIL.test(email)) throw invalid("email", "This is not an e-mail address.");
    if (typeof name !== "string" || name.trim().length === 0 || name.length > 100) throw invalid("name", "A name has 1 to 100 characters.");
    if (!isRole(role)) throw invalid("role", "A role is viewer, operator or admin.");
    const context = await accounts().$context;
    const hash = await context.password.hash(newPassword(password));
    if (await context.internalAdapter.findUserByEmail(email.toLowerCase())) throw new Refusal(409, "email_taken", "Somebody has this address already.", "Change that account instead.");
    const user = await context.internalAdapter.createUser({ email: email.toLowerCase(), name: name.trim(), emailVerified: false }, { method: "email-password" });
    await context.internalAdapter.updateUser(user.id, { role });
    await context.internalAdapter.linkAccount({ userId: user.id, providerId: "credential", accountId: user.id, password: hash });
    return Response.json({ id: user.id }, { status: 201 });
  });
}

export async function changeUser(request: Request, id: string): Promise<Response> {
  return asAdmin(request, async (admin) => {
    const { role, password } = await bodyOf(request);
    const { internalAdapter, password: passwords } = await accounts().$context;
    const person = await personById(id);
    if (role !== undefined) {
      if (!isRole(role)) throw invalid("role", "A role is viewer, operator or admin.");
      if (role !== "admin") await requireOtherAdmin(person);
      await revokeKeys(admin, person.email, role);
      await internalAdapter.updateUser(id, { role });
    }
    if (password !== undefined) {
      await internalAdapter.updatePassword(id, await passwords.hash(newPassword(password)));
      await internalAdapter.deleteUserSessions(id);
    }
    forgetSessions();
    return new Response(null, { status: 204 });
  });
}

export async function removeUser(request: Request, id: string): Promise<Response> {
  return asAdmin(request, async (admin) => {
    const person = await personById(id);
    await requireOtherAdmin(person);
    await revokeKeys(admin, person.email, null);
    const { internalAdapter } = await accounts().$context;
    await internalAdapter.deleteUserSessions(id);
    await internalAdapter.deleteAccounts(id);
    await internalAdapter.deleteUser(id);
    forgetSessions();
    return new Response(null, { status: 204 });
  });
}

async function asAdmin(request: Request, work: (admin: Person) => Promise<Response>): Promise<Response> {
  return answering(async () => {
    requireOwnPage(request);
    const caller = await callerOf(request.headers, { isFresh: true });
    if (caller === null) return problem(401, "sign_in_required", "You are not signed in.", "Sign in.");
    if (caller.role !== "admin") return problem(403, "role_too_low", `This needs the role admin, and yours is ${caller.role}.`, isReading(request.method) ? "Admins see who has an account." : "Ask an admin.");
    return work(caller);
  });
}

async function personById(id: string): Promise<Person> {
  const user = await (await accounts().$context).internalAdapter.findUserById(id);
  if (!user) throw new Refusal(404, "user_not_found", "There is no such person.", "Reload the list.");
  return personOf(user);
}

async function requireOtherAdmin(person: Person): Promise<void> {
  if (person.role !== "admin") return;
  const users = await (await accounts().$context).internalAdapter.listUsers(MOST_PEOPLE);
  const others = users.map(personOf).filter((other) => other.role === "admin" && other.id !== person.id);
  if (others.length === 0) throw new Refusal(409, "last_admin", "This is the last admin.", "Make somebody else an admin first.");
}

/** End a person's keys that reach further than `role`; all of them for null. */
async function revokeKeys(admin: Person, owner: string, role: Role | null): Promise<void> {
  let cursor: string | null = null;
  do {
    const reply: Response = await asked(admin, "GET", `/api/keys?limit=200${cursor === null ? "" : `&cursor=${cursor}`}`);
    const page = (await reply.json()) as { keys: { key_id: string; owner: string; scope: string; revoked_at: string | null }[]; next_cursor: string | null };
    for (const key of page.keys) {
      if (key.owner !== owner || key.revoked_at !== null) continue;
      if (role === null || !includes(role, ROLE_OF_SCOPE[key.scope] ?? "admin")) await asked(admin, "DELETE", `/api/keys/${key.key_id}`);
    }
    cursor = page.next_cursor;
  } while (cursor !== null);
}

async function asked(admin: Person, method: string, path: string): Promise<Response> {
  const reply = await callAs(admin, path, { method, headers: new Headers({ accept: "application/json" }), signal: AbortSignal.timeout(10_000), deadlineMs: 10_000 });
  if (!reply.ok) throw new Refusal(502, "keys_not_revoked", "The person's API keys could not be revoked, so nothing was changed.", "Try again when the control plane answers.");
  return reply;
}

async function bodyOf(request: Request): Promise<Record<string, unknown>> {
  const body: unknown = await request.json().catch(() => null);
  if (typeof body !== "object" || body === null) throw new Refusal(400, "invalid_json", "The body is not a JSON object.", "Send one.");
  return body as Record<string, unknown>;
}

function newPassword(password: unknown): string {
  if (typeof password !== "string" || password.length < MIN_PASSWORD_CHARS || password.length > 128) throw invalid("password", `A password has ${MIN_PASSWORD_CHARS} to 128 characters.`);
  return password;
}

function invalid(field: string, detail: string): Refusal {
  return new Refusal(422, "invalid", detail, `Correct the field ${field}.`);
}
