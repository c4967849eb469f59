#!/bin/bash
# A library over an array of 100 tasks. A task that is lost is started again by the same number: sbatch --array=17 ...
#SBATCH --job-name=score
#SBATCH --array=1-100
#SBATCH --cpus-per-task=16
#SBATCH --time=12:00:00
#SBATCH --requeue
export OMP_NUM_THREADS=1
srun \
cvqa score library.txt --out scores.jsonl --workers 16
# When all are done, on any machine:
#   cvqa merge scores.jsonl --videos library.txt --csv-file scores.csv
