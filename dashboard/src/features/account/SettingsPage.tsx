"use client";

import { Empty, Loaded } from "@/ui/states";
import { PageHeader } from "@/ui/PageHeader";
import { Tabs } from "@/ui/Tabs";
import { useQueryState } from "@/ui/useQueryState";
import { ApiKeys } from "./ApiKeys";
import { Profile } from "./Profile";
import { Sessions } from "./Sessions";
import { ThemeChooser } from "./ThemeChooser";
import { useAccount } from "./useAccount";
import { Users } from "./Users";

const TABS = [
  { id: "account", label: "Account" },
  { id: "keys", label: "API keys" },
  { id: "sessions", label: "Sessions" },
] as const;
const USERS = { id: "users", label: "Users" } as const;

export function SettingsPage() {
  const account = useAccount();
  const [tab, setTab] = useQueryState("tab", "account");
  if (account.data === null)
    return (
      <>
        <PageHeader title="Settings" />
        <Empty title="This is the read-only dashboard">
          <p>Accounts, API keys and everything that changes something need the dashboard&rsquo;s server: install skyscale[dashboard] and start <code className="font-mono text-xs">skyscale up</code>.</p>
        </Empty>
        <ThemeChooser />
      </>
    );
  const isAdmin = account.data?.person?.role === "admin";
  const tabs = isAdmin ? [...TABS, USERS] : TABS;
  const selected = tabs.find((each) => each.id === tab)?.id ?? "account";
  return (
    <>
      <PageHeader title="Settings" />
      <Tabs label="Settings" tabs={tabs} selected={selected} onSelect={setTab} />
      <div id="panel" role="tabpanel" className="max-w-[880px] px-4 py-5 md:px-6">
        <Loaded data={account.data?.person} error={account.error} onRetry={() => void account.refetch()}>
          {(person) => (
            <>
              {selected === "account" && <Profile person={person} />}
              {selected === "keys" && <ApiKeys person={person} />}
              {selected === "sessions" && <Sessions />}
              {selected === "users" && <Users me={person} />}
            </>
          )}
        </Loaded>
      </div>
    </>
  );
}
