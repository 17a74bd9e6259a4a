import { Suspense } from "react";
import { TrainingPage } from "@/features/runs/TrainingPage";

export default function Page() {
  return (
    <Suspense>
      <TrainingPage />
    </Suspense>
  );
}
