#!/usr/bin/env bash
# A Ray on the machines of a Slurm job, and one posegen command on it: sbatch docs/cluster/slurm.sh train video_generator …
#SBATCH --job-name=posegen
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=32
#SBATCH --time=24:00:00
#SBATCH --signal=B:TERM@120
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail
source "${POSEGEN_VENV:-.venv}/bin/activate" # on a file system that all machines share

# The token is for this job alone, and no command line shows it.
export RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0 RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO=1
umask 077
export RAY_AUTH_TOKEN_PATH="$PWD/.ray-token-$SLURM_JOB_ID"
python -c 'import secrets; print(secrets.token_hex(32))' > "$RAY_AUTH_TOKEN_PATH"

head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
address=$(srun --nodes=1 --ntasks=1 -w "$head" hostname -I | awk '{print $1}')
port=$((20000 + SLURM_JOB_ID % 20000)) # several jobs may share a machine
export RAY_ADDRESS="$address:$port"

start() { # how many machines, which, and with what `ray start` begins there
  env -u RAY_ADDRESS srun --overlap --nodes="$1" --ntasks="$1" "$2" ray start "${@:3}" --num-cpus="$SLURM_CPUS_PER_TASK" --block &
}
finish() {
  status=$?
  trap - EXIT TERM
  rm -f "$RAY_AUTH_TOKEN_PATH"
  for ray in $workers $leader; do
    { kill "$ray" && wait "$ray"; } 2>/dev/null || true
  done
  exit "$status"
}
requeue() {
  kill -TERM "$command"
  wait "$command" || true # it saves
  scontrol requeue "$SLURM_JOB_ID"
}
leader="" workers="" command=""
trap finish EXIT
# Slurm sends SIGTERM two minutes before the end. The job is queued again, and a command with a --name goes on.
trap requeue TERM

start 1 --nodelist="$head" --head --node-ip-address="$address" --port="$port" \
  --dashboard-host=127.0.0.1 --dashboard-port=$((port + 20000))
leader=$!
until python -c 'import ray; ray.init()' >/dev/null 2>&1; do
  kill -0 "$leader" # or it has failed
  sleep 1
done
if [ "$SLURM_JOB_NUM_NODES" -gt 1 ]; then
  start $((SLURM_JOB_NUM_NODES - 1)) --exclude="$head" --address="$RAY_ADDRESS"
  workers=$!
fi
posegen "$@" &
command=$!
wait "$command"
