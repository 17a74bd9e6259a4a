/** Starting points for runs: what each changes from the defaults, as the start dialog's entries. */
import type { Entries } from "@/features/forms/fields";

export interface Template {
  id: string;
  title: string;
  about: string;
  needs: string;
  entries: Entries;
}

export const TEMPLATES: readonly Template[] = [
  {
    id: "first",
    title: "First run",
    about: "The starter model learns the embedded problems. Its reward rises within two minutes.",
    needs: "Nothing: two CPU cores are enough",
    entries: { max_steps: "80" },
  },
  {
    id: "until-good",
    title: "Until it is good",
    about: "Trains until the mean reward of five versions reaches 0.9, and at most for half an hour.",
    needs: "Nothing: two CPU cores are enough",
    entries: { target_reward: "0.9", max_hours: "0.5" },
  },
  {
    id: "watched",
    title: "Watched closely",
    about: "Evaluates held-out problems every ten versions, so that you see whether it learns or memorises.",
    needs: "Nothing: two CPU cores are enough",
    entries: { max_steps: "100", "evaluation.every_versions": "10" },
  },
  {
    id: "reproducible",
    title: "Reproducible",
    about: "Plays a batch, trains on it, swaps, and only then plays the next. The same seed gives the same run. Slow.",
    needs: "Nothing: two CPU cores are enough",
    entries: { mode: "synchronous", seed: "1", max_steps: "40" },
  },
  {
    id: "strict",
    title: "On-policy",
    about: "No token may be older than one version, with larger groups for a steadier baseline.",
    needs: "Nothing: two CPU cores are enough",
    entries: { "algorithm.max_staleness": "1", "algorithm.group_size": "16", max_steps: "80" },
  },
  {
    id: "qwen",
    title: "Qwen3 0.6B",
    about: "A pretrained model from Hugging Face, with longer answers and a rollout worker more.",
    needs: "A GPU, and the way to Hugging Face for the weights",
    entries: { base_model: "Qwen/Qwen3-0.6B", gpu_model: "h100", num_workers: "2", "sampling.max_new_tokens": "512", max_hours: "2" },
  },
];
