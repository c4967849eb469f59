#!/bin/bash
# Training on two machines of 8 GPUs. Before the time is over SLURM sends the signal; the run keeps a checkpoint, and is
# queued again by the same command, which goes on from there.
#SBATCH --job-name=fit
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=8
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=12
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --signal=SIGUSR1@300
export OMP_NUM_THREADS=1
srun \
python train.py fit --config configs/model/flagship.yaml --config configs/data/mini.yaml --config configs/trainer/ddp.yaml --trainer.num_nodes=2 --trainer.devices=8 --run runs/flagship
