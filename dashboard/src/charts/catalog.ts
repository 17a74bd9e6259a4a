/** The charts of a run: which reported metrics each shows and what they mean (estimators: `trainer/metrics.py`). */
export interface ChartKind {
  id: string;
  title: string;
  about: string;
  /** The first is the one that runs are compared by. */
  keys: readonly [string, ...string[]];
}

export const MAIN_CHARTS: readonly ChartKind[] = [
  { id: "reward", title: "Reward", about: "Mean reward of all rollouts since the last batch, and of the batch trained on", keys: ["episode_reward", "batch_reward"] },
  { id: "loss", title: "Loss", about: "Token mean of the objective that was minimised; near zero on-policy, its size says little", keys: ["loss"] },
  { id: "entropy", title: "Entropy", about: "Mean of -log probability of the sampled tokens; falls as the model commits itself", keys: ["entropy"] },
  { id: "staleness", title: "Staleness", about: "Versions between the token and the step that trained on it: mean and largest", keys: ["staleness", "staleness_max"] },
  { id: "throughput", title: "Throughput", about: "Completion tokens trained on per second", keys: ["tokens_per_s"] },
  { id: "wait", title: "Wait share", about: "Share of its time that the trainer waited for rollouts", keys: ["wait_share"] },
];

const MORE_CHARTS: readonly ChartKind[] = [
  { id: "mismatch", title: "Mismatch KL", about: "KL between the engine that sampled and the trainer; rises when they disagree", keys: ["mismatch_kl"] },
  { id: "clip", title: "Clipped and masked tokens", about: "Shares of tokens at a clip bound, and outside the importance bounds", keys: ["clip_share", "masked_share"] },
  { id: "grad", title: "Gradient norm", about: "Global L2 norm before clipping", keys: ["grad_norm"] },
  { id: "flat", title: "Flat groups", about: "Share of groups whose rewards are all equal, which teach nothing", keys: ["rollout_flat_share", "flat_share"] },
  { id: "length", title: "Completion length", about: "Mean tokens per episode", keys: ["completion_tokens"] },
  { id: "step", title: "Step time", about: "Seconds per training step", keys: ["step_s"] },
  { id: "samples", title: "Samples per second", about: "Trajectories trained on per second", keys: ["samples_per_s"] },
  { id: "gpu", title: "GPU utilisation", about: "As the trainer reports it", keys: ["gpu_util"] },
];

/** All charts for which something was reported; unknown metrics get a chart of their own. */
export function chartsFor(names: readonly string[]): { main: readonly ChartKind[]; more: readonly ChartKind[] } {
  const reported = new Set(names);
  const known = new Set([...MAIN_CHARTS, ...MORE_CHARTS].flatMap(({ keys }) => keys));
  const unknown = names.filter((name) => !known.has(name));
  return {
    main: MAIN_CHARTS,
    more: [...MORE_CHARTS.filter(({ keys }) => keys.some((key) => reported.has(key))), ...unknown.map((name) => ({ id: name, title: name.replaceAll("_", " "), about: "Reported by the trainer", keys: [name] as const }))],
  };
}
