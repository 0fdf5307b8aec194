//! A peer: the echo server of tokio's documentation, a task a connection.

use std::io;

use clap::{Parser, ValueEnum};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;

#[derive(Parser)]
struct Args {
    port: u16,
    /// Bytes of each connection's buffer
    #[arg(long)]
    buffer: usize,
    #[arg(long)]
    nodelay: bool,
    #[arg(long)]
    runtime: Runtime,
}

#[derive(Clone, ValueEnum)]
enum Runtime {
    CurrentThread,
    MultiThread,
}

fn main() -> io::Result<()> {
    let args = Args::parse();
    let mut builder = match args.runtime {
        Runtime::CurrentThread => Builder::new_current_thread(),
        Runtime::MultiThread => Builder::new_multi_thread(),
    };
    builder.enable_io().build()?.block_on(serve(args))
}

async fn serve(args: Args) -> io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", args.port)).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        if args.nodelay {
            stream.set_nodelay(true)?;
        }
        // One connection's error ends that connection.
        tokio::spawn(async move { echo(stream, args.buffer).await.unwrap_or_default() });
    }
}

async fn echo(mut stream: TcpStream, buffer: usize) -> io::Result<()> {
    let mut buffer = vec![0; buffer];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            length => stream.write_all(buffer.get(..length).unwrap_or_default()).await?,
        }
    }
}
