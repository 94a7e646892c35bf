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
set -euo pipefail
source "${POSEGEN_VENV:-.venv}/bin/activate" # on a file system that all machines share

# The token is for this job alone, and no command line shows it.
export RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0 RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO=1
umask 077
export RAY_AUTH_TOKEN_PATH="$PWD/.ray-token-$SLURM_JOB_ID"
python -c 'import secrets; print(secrets.token_hex(32))' > "$RAY_AUTH_TOKEN_PATH"

head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
address=$(srun --nodes=1 --ntasks=1 -w "$head" hostname --ip-address | awk '{print $1}')
port=$((20000 + SLURM_JOB_ID % 20000)) # several jobs may share a machine
cleanup() { rm -f "$RAY_AUTH_TOKEN_PATH"; kill 0; }
trap cleanup EXIT
# Slurm sends SIGTERM two minutes before the end: posegen saves, the job is queued again and goes on.
trap 'kill -TERM "$command" 2>/dev/null; wait "$command"; scontrol requeue "$SLURM_JOB_ID"' TERM

srun --nodes=1 --ntasks=1 -w "$head" \
  ray start --head --node-ip-address="$address" --port="$port" --dashboard-host=127.0.0.1 --block &
sleep 15
if [ "$SLURM_JOB_NUM_NODES" -gt 1 ]; then
  srun --nodes=$((SLURM_JOB_NUM_NODES - 1)) --ntasks=$((SLURM_JOB_NUM_NODES - 1)) --exclude="$head" \
    ray start --address="$address:$port" --block &
  sleep 15
fi
export RAY_ADDRESS="$address:$port"
posegen "$@" &
command=$!
wait "$command"
