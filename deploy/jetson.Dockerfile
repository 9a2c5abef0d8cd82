# epee on a Jetson with JetPack 6: the system's TensorRT, seen from a virtual environment.
#
#   docker build -f deploy/jetson.Dockerfile -t epee-jetson .
#   docker run --rm --init --runtime nvidia -v ./site:/site epee-jetson run --config site.toml
#
# TensorRT, CUDA and cuDNN come from the base image and have to match the host's JetPack: choose the tag to match.
# Build the engine once on the box: epee tune BUNDLE --engine tensorrt (it is kept in /cache).

FROM nvcr.io/nvidia/l4t-tensorrt:r10.3.0-devel
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3-venv \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY runtime runtime
COPY train train
COPY export export
COPY benchmarks benchmarks
RUN python3 -m venv --system-site-packages /opt/epee \
 && /opt/epee/bin/pip install --no-cache-dir ".[tensorrt,cv-headless,video,web,mqtt]" \
 && useradd --system --uid 10001 --home-dir /site --groups video epee \
 && install -d -o epee -g epee /site /cache
ENV PATH=/opt/epee/bin:$PATH PYTHONUNBUFFERED=1 XDG_CACHE_HOME=/cache
USER epee
WORKDIR /site
VOLUME ["/cache"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["epee"]
CMD ["doctor"]
