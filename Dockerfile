# docker build -t dynatree .    then    docker run --rm -v "$PWD/out:/dynatree/paper/demo" dynatree
FROM python:3.11-slim-bookworm

RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends git make && rm -rf /var/lib/apt/lists/*
WORKDIR /dynatree

# LaTeX and the pinned libraries change more seldom than the code.
COPY Makefile ./
COPY envs envs
RUN make latex
COPY pyproject.toml README.md LICENSE ./
COPY dynatree dynatree
RUN make setup

COPY . .
ENV PATH=/dynatree/.venv/bin:$PATH
CMD ["make", "demo"]
