"""A console with markup, and a text that was put together before."""

from rich.console import Console

LR = 0.1
console = Console(width=80)

for epoch in range(3):
    loss = (LR - 0.3) ** 2
    text = f"[bold]epoch {epoch}[/bold] val_f1: "
    text += f"{1 - loss:.4f}"
    console.print(f"[green]validation F1[/green] {1 - loss:.4f}")
