/** The accounts' API of the dashboard's own server. In the static export there is none: everybody reads, nobody signs in. */
import { ApiError } from "./errors";
import { readJson } from "./api";

export type Role = "viewer" | "operator" | "admin";

export interface Person {
  id: string;
  email: string;
  name: string;
  role: Role;
}

export interface AccountState {
  person: Person | null;
  hadSession: boolean;
  isSetupNeeded: boolean;
  isSignUpOpen: boolean;
}

export interface Session {
  id: string;
  createdAt: string;
  updatedAt: string;
  expiresAt: string;
  ipAddress?: string | null;
  userAgent?: string | null;
  isThis: boolean;
}

/** Who is signed in; null where there are no accounts at all. */
export async function readAccount(): Promise<AccountState | null> {
  try {
    return await readJson<AccountState>("/api/account");
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return null;
    throw error;
  }
}

export async function signIn(email: string, password: string): Promise<void> {
  await send("POST", "/api/auth/sign-in/email", { email, password });
}

export async function signUp(name: string, email: string, password: string, setupCode: string): Promise<void> {
  await send("POST", "/api/auth/sign-up/email", { name, email, password }, setupCode ? { "x-skyscale-setup-code": setupCode } : {});
}

export const signOut = () => send("POST", "/api/auth/sign-out", {});
export const changeName = (name: string) => send("POST", "/api/auth/update-user", { name });
export const changePassword = (currentPassword: string, newPassword: string) =>
  send("POST", "/api/auth/change-password", { currentPassword, newPassword, revokeOtherSessions: true });

export const readSessions = async () => (await readJson<{ sessions: Session[] }>("/api/account/sessions")).sessions;
/** End a session by its id, or all but this one for `others`. */
export const endSession = (id: string) => send("DELETE", `/api/account/sessions/${id}`);

export type User = Person & { createdAt: string };

export const readUsers = async () => (await readJson<{ users: User[] }>("/api/account/users")).users;
export const addUser = (user: { name: string; email: string; password: string; role: Role }) => send("POST", "/api/account/users", user);
export const changeUser = (id: string, change: { role?: Role; password?: string }) => send("PATCH", `/api/account/users/${id}`, change);
export const removeUser = (id: string) => send("DELETE", `/api/account/users/${id}`);

/** A call that changes something; its reply's body, if any. Throws ApiError. */
export async function send(method: string, path: string, body?: object, headers: Record<string, string> = {}): Promise<unknown> {
  const init: RequestInit = { method, headers: body ? { "content-type": "application/json", ...headers } : headers };
  if (body) init.body = JSON.stringify(body);
  return readJson<unknown>(path, init);
}
