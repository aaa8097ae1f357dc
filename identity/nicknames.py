"""Pet names, and the name that each is short for: PURE."""

# Own short list: pet names that share too few letters for Jaro-Winkler to see.
_NICKNAMES = """
robert bob rob bobby robbie bert; william bill will billy willie liam; richard dick rick rich
ricky; james jim jimmy jamie; john jack johnny jon; edward ed eddie ted ned teddy; thomas tom
tommy; michael mike mick mickey; charles charlie chuck chas; joseph joe joey; david dave davey;
daniel dan danny; anthony tony; andrew andy drew; christopher chris kit topher; matthew matt;
nicholas nick nicky; steven stephen steve; benjamin ben benny; samuel sam sammy; henry harry hank;
alexander alex sandy xander; peter pete; patrick pat paddy; gregory greg; ronald ron ronnie;
donald don donnie; kenneth ken kenny; timothy tim timmy; lawrence larry laurence; frederick fred;
gerald gerry jerry; raymond ray; leonard len lenny; walter walt wally; albert al bertie; philip
phil; jonathan jonny nathan; joshua josh; zachary zach zack; vincent vince vinny; francis frank
frankie; elizabeth liz beth betty eliza lizzie libby lisa betsy; margaret maggie meg peggy marge
greta; catherine katherine kate katie cathy kathy kathryn kat; mary molly polly; patricia patty
trish tricia; jennifer jen jenny; susan sue susie suzanne; barbara barb babs; deborah debbie deb
debra; rebecca becky becca; victoria vicky tori vickie; dorothy dot dottie dolly; christina tina
chrissy; alexandra lexi alexa; jacqueline jackie; samantha sammie; theresa terry tess tessa; sarah
sally sadie; abigail abby gail; amanda mandy; judith judy; kimberly kim; pamela pam; sandra sandy;
cynthia cindy; virginia ginny; florence flo; eleanor ellie nell nora; isabella bella izzy isabel;
charlotte lottie
"""
NICKNAMES: dict[str, str] = {
    name: group.split()[0] for group in reversed(_NICKNAMES.split(";")) for name in group.split()
}
