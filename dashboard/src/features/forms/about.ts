/** Names that say more than the field's own. */
export const LABELS: Readonly<Record<string, string>> = {
  "algorithm.name": "Algorithm",
  num_workers: "Rollout workers",
  max_cost_usd: "Max cost in USD",
  timeout_s: "Timeout in seconds",
};

/** What the API's own text leaves unsaid about a field. */
export const ABOUT: Readonly<Record<string, string>> = {
  gpu_model: "What the trainer and the policy server run on; cpu needs no GPU.",
  provider: "Who runs the processes; auto asks those of GPU_PROVIDER_ORDER, local is this machine.",
  problem_set: "The problems to learn; embedded is the set that comes with Skyscale.",
  "algorithm.adam_beta1": "How long AdamW remembers the gradient.",
  "algorithm.adam_beta2": "How long AdamW remembers the gradient's size.",
  "algorithm.weight_decay": "How strongly AdamW pulls weights towards zero.",
  "algorithm.clip_low": "How far a token's probability may fall in one step before its gradient is cut.",
  "algorithm.max_grad_norm": "Longer gradients are scaled down to this length.",
  "algorithm.importance_low": "Lower bound of the trainer/engine ratio; tokens below it are masked.",
  "sampling.temperature": "How varied the rollouts are; 1 samples the model as it is.",
  "evaluation.samples_per_problem": "Answers per held-out problem; their mean is the score.",
  "evaluation.temperature": "How varied the answers of an evaluation are.",
  seed: "The same seed gives the same problems in the same order.",
  runtime: "The language of programs that do not say theirs.",
  docker_image: "For providers that run images.",
  command: "A list of words, for example [\"python3\", \"-c\", \"print(1)\"].",
  env_vars: "Environment of the process, for example {\"EPOCHS\": \"3\"}.",
  max_attempts: "How often it is started before it counts as failed.",
  timeout_s: "Seconds after which it is ended.",
};
