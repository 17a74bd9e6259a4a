import type { Metadata } from "next";
import { SetUp } from "@/features/account/SetUp";

export const metadata: Metadata = { title: "Set up" };

export default function Page() {
  return <SetUp />;
}
