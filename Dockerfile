# The service in a container. On a processor:
#
#   docker build -t cvqa .
#   docker run --rm -p 127.0.0.1:8000:8000 -v cvqa:/state cvqa
#
# On a GPU, with `--gpus all` and `serve --device cuda` behind the name:
#
#   docker build -t cvqa-cuda --build-arg BASE=nvidia/cuda:13.0.2-base-ubuntu24.04 --build-arg TORCH=cu130 .
#
# Whoever reaches the port may use the service; it asks for no password.
ARG BASE=debian:trixie-slim
FROM ${BASE}

# Build of PyTorch, as `uv pip install --torch-backend` names it; CUDA's libraries come with it.
ARG TORCH=cpu

RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY cvqa_models cvqa_models
COPY configs configs
COPY checkpoints/README.md checkpoints/compression_level.md checkpoints/compression_level.safetensors \
    checkpoints/compression_damage.md checkpoints/compression_damage.safetensors checkpoints/

RUN python3 -m venv /opt/cvqa \
    && /opt/cvqa/bin/python -m pip install --no-cache-dir uv \
    && /opt/cvqa/bin/uv pip install --no-cache --python /opt/cvqa/bin/python --constraint constraints.txt \
        --torch-backend ${TORCH} ".[serve]" \
    && rm -rf /src/*

RUN useradd --create-home --uid 10001 cvqa && mkdir /state && chown cvqa /state
USER cvqa
WORKDIR /state
VOLUME /state
EXPOSE 8000

# One thread for each process: there is one for each core.
ENV PATH=/opt/cvqa/bin:$PATH OMP_NUM_THREADS=1
HEALTHCHECK --start-period=60s CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health')"]
ENTRYPOINT ["cvqa"]
CMD ["serve", "--host", "0.0.0.0", "--state", "/state"]
