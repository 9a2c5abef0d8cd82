# epee on an x86 box without a GPU: ONNX Runtime and OpenVINO, video in and out, the web page.
#
#   docker build -f deploy/x86.Dockerfile -t epee .
#   docker run --rm --init -v ./site:/site -p 127.0.0.1:8080:8080 epee run --config site.toml
#
# /site is the working folder: site.toml, bundles, and what is written. A web sink inside a container has to listen on
# 0.0.0.0 and therefore wants a token (EPEE_WEB_TOKEN).

FROM python:3.13-slim-trixie AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY runtime runtime
COPY train train
COPY export export
COPY benchmarks benchmarks
RUN python -m venv /opt/epee \
 && /opt/epee/bin/pip install --no-cache-dir ".[cpu,openvino,web,mqtt]"

FROM python:3.13-slim-trixie
COPY --from=build /opt/epee /opt/epee
RUN useradd --system --uid 10001 --home-dir /site --groups video epee \
 && install -d -o epee -g epee /site /cache
ENV PATH=/opt/epee/bin:$PATH PYTHONUNBUFFERED=1 XDG_CACHE_HOME=/cache
USER epee
WORKDIR /site
VOLUME ["/cache"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["epee"]
CMD ["doctor"]
